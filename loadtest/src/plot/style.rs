//! Colours and marks.

/// Lines that can be told apart by colour and mark.
pub(super) const HUES: usize = 6;

/// Rules for charts inside a page. The page may set other values for the same names on `:root`.
pub const CSS: &str = "\
.plot text{font:11px system-ui,sans-serif;font-variant-numeric:tabular-nums;fill:var(--plot-ink)}\
.plot .name{font-weight:600}\
.plot .title{font-size:14px;font-weight:600}\
.plot .grid{stroke:var(--plot-grid);stroke-width:1}\
.plot .axis{stroke:var(--plot-axis);stroke-width:1}\
.plot .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\
.plot .thin{stroke-width:1.5}\
.plot .dash{stroke-dasharray:5 4}\
.plot .whisker{stroke-width:1}\
.plot .mark{stroke:var(--plot-ground);stroke-width:1}\
.plot .c0{stroke:var(--plot-0)}.plot .f0{fill:var(--plot-0)}\
.plot .c1{stroke:var(--plot-1)}.plot .f1{fill:var(--plot-1)}\
.plot .c2{stroke:var(--plot-2)}.plot .f2{fill:var(--plot-2)}\
.plot .c3{stroke:var(--plot-3)}.plot .f3{fill:var(--plot-3)}\
.plot .c4{stroke:var(--plot-4)}.plot .f4{fill:var(--plot-4)}\
.plot .c5{stroke:var(--plot-5)}.plot .f5{fill:var(--plot-5)}\
.plot{--plot-ink:#3d4248;--plot-grid:#e4e6e9;--plot-axis:#9aa0a8;--plot-ground:#fff;\
--plot-0:#0072b2;--plot-1:#d55e00;--plot-2:#009e73;--plot-3:#b0538a;--plot-4:#56b4e9;--plot-5:#a87900}\
@media screen and (prefers-color-scheme:dark){\
.plot{--plot-ink:#c9ced6;--plot-grid:#2c3138;--plot-axis:#6b737d;--plot-ground:#16191d;\
--plot-0:#56b4e9;--plot-1:#e69f00;--plot-2:#2fbf91;--plot-3:#cc79a7;--plot-4:#8ab8d8;--plot-5:#f0e442}}";

/// The ground of a chart that is a file of its own, in both themes.
pub(super) const GROUND_CSS: &str = ".plot .ground{fill:var(--plot-ground)}";

/// The outline of a hue's mark around a point, as SVG path data.
pub(super) fn mark(hue: usize, x: f64, y: f64) -> String {
    match hue % HUES {
        0 => format!("M{:.1} {y:.1}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0z", x - 3.5),
        1 => format!("M{:.1} {:.1}h6.4v6.4h-6.4z", x - 3.2, y - 3.2),
        2 => format!("M{x:.1} {:.1}l4 7h-8z", y - 4.5),
        3 => format!("M{x:.1} {:.1}l4.2 4.2l-4.2 4.2l-4.2-4.2z", y - 4.2),
        4 => format!("M{x:.1} {:.1}l4-7h-8z", y + 4.5),
        _ => format!("M{:.1} {:.1}h8v3h-8z", x - 4.0, y - 1.5),
    }
}
