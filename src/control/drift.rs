//! What came of watching definitions, told once: in the log and in the meters.

use crate::base::limits::METRIC_SERVERS_MAX;
use crate::catalog::drift::{Judged, Judgement, Standing};
use crate::config::Watch;
use crate::telemetry::{DriftMetrics, ServerTable, events};
use std::collections::{BTreeMap, HashSet};

/// Server, tool, definition, and where it stands.
type Mark = (Box<str>, Box<str>, [u8; 32], Standing);

/// What has been told already.
#[derive(Default)]
pub(super) struct Told {
    known: HashSet<Mark>,
    /// Servers and how many of their pins cannot be read.
    faults: BTreeMap<Box<str>, u64>,
}

impl Told {
    /// Tells what is new, and sets the meters.
    pub(super) fn tell(
        &mut self,
        judged: &[(Box<str>, Judgement)],
        watch: &Watch,
        (servers, meters): (&ServerTable, &DriftMetrics),
    ) {
        let mut known = HashSet::new();
        for (server, judgement) in judged {
            let telling = |tool: &&Judged| tool.standing >= Standing::Harmless;
            for tool in judgement.0.iter().filter(telling) {
                let mark = (server.clone(), tool.name.clone(), tool.hash, tool.standing);
                if !self.known.contains(&mark) {
                    let row = meters.row(servers.slot(server));
                    row.changes[tool.standing as usize - Standing::Harmless as usize].inc();
                    let tell = if tool.is_withheld { events::tool_withheld } else { events::tool_changed };
                    tell(server, &tool.name, tool.standing.name(), &tool.to_string());
                }
                known.insert(mark);
            }
        }
        self.known = known;
        self.gauge(judged, watch, (servers, meters));
    }

    fn gauge(
        &mut self,
        judged: &[(Box<str>, Judgement)],
        watch: &Watch,
        (servers, meters): (&ServerTable, &DriftMetrics),
    ) {
        // Servers without a row of their own share one: sums first, so that no reader sees half of one.
        let mut sums = [[0_u64; 3]; METRIC_SERVERS_MAX + 1];
        let mut faults = BTreeMap::new();
        for (server, judgement) in judged {
            let count = |standing| {
                judgement.0.iter().filter(|tool| tool.is_withheld && tool.standing == standing).count() as u64
            };
            let pins = watch.pins(server);
            let bad = pins.map_or(0, |pins| u64::from(pins.fault().is_some()) + pins.faults() as u64);
            let sum = &mut sums[servers.slot(server).place()];
            for (sum, more) in sum.iter_mut().zip([count(Standing::Held), count(Standing::Quarantined), bad]) {
                *sum += more;
            }
            if bad > 0 && self.faults.get(server) != Some(&bad) {
                events::pins_unreadable(server, bad);
            }
            faults.insert(server.clone(), bad);
        }
        self.faults = faults;
        for (slot, _) in servers.rows() {
            let (row, [held, quarantined, bad]) = (meters.row(slot), sums[slot.place()]);
            row.held.set(held);
            row.quarantined.set(quarantined);
            row.pin_faults.set(bad);
        }
    }
}
