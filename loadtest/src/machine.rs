//! Where a run ran: kernel, processor, cores, and the build of this tool.

use crate::outcome::Machine;

/// Where the kernel describes the processors.
const CPU_INFO: &str = "/proc/cpuinfo";
/// Where the kernel says its release.
const KERNEL_RELEASE: &str = "/proc/sys/kernel/osrelease";
/// Keys of the processor's name in [`CPU_INFO`], by architecture.
const NAME_KEYS: [&str; 4] = ["model name", "Model", "cpu model", "uarch"];
/// What is written where the machine does not say.
const UNKNOWN: &str = "unknown";

/// This machine and this build. What the machine does not tell is `unknown`.
pub fn read() -> Machine {
    let text = |path| std::fs::read_to_string(path).unwrap_or_default();
    Machine {
        kernel: said(text(KERNEL_RELEASE).trim()),
        processor: said(processor_name(&text(CPU_INFO))),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        build: build(),
    }
}

/// Version, profile and commit of this build in one line, for instance `0.1.0 release 1a2b3c4d5e6f`.
pub fn build() -> String {
    let commit = option_env!("TOLLGATE_LOAD_COMMIT").unwrap_or("unknown commit");
    let profile = option_env!("TOLLGATE_LOAD_PROFILE").unwrap_or("unknown profile");
    format!("{} {profile} {commit}", env!("CARGO_PKG_VERSION"))
}

fn said(text: &str) -> String {
    if text.is_empty() { UNKNOWN.to_owned() } else { text.to_owned() }
}

/// The first processor's name; empty where none of the known keys is there.
fn processor_name(cpu_info: &str) -> &str {
    let mut pairs = cpu_info.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| NAME_KEYS.contains(&key.trim())).map_or("", |(_, name)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named_on_every_architecture() {
        let x86 = "processor\t: 0\nmodel\t\t: 49\nmodel name\t: AMD EPYC Processor\nflags\t\t: fpu\n";
        assert_eq!(processor_name(x86), "AMD EPYC Processor");
        assert_eq!(processor_name("processor : 0\nModel : Board 4 Rev 1.1\n"), "Board 4 Rev 1.1");
        assert_eq!(said(processor_name("processor : 0\n")), "unknown");
    }

    #[test]
    fn this_machine_says_something() {
        let machine = read();
        assert!(machine.cores > 0);
        assert!(machine.build.starts_with(env!("CARGO_PKG_VERSION")), "{}", machine.build);
        assert_ne!(machine.kernel, "");
    }
}
