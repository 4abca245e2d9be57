//! ICMP echo between real kernels.

mod support;

use std::{net::IpAddr, time::Duration};

use host::{Report, echo::Echo, lab::Host};
use support::*;

const PATIENT: Duration = Duration::from_millis(500);
const SHORT: Duration = Duration::from_millis(50);

fn start(host: &Host) -> (Echo, Reports) {
    let (sink, reports) = reports();
    (host.run(|| Echo::start(sink)).expect("a thread").expect("a descriptor"), reports)
}

fn witness(reports: &Reports, address: IpAddr) -> bool {
    reports.until("a witness", |report| match report {
        Report::Witness { address: about, reachable } if *about == address => Some(*reachable),
        _ => None,
    })
}

#[test]
fn witnesses_answer_or_do_not() {
    in_lab("witnesses_answer_or_do_not", |mut lab| {
        let (server, _client) = two_hosts(&mut lab);
        let (echo, reports) = start(&server);
        let living = [ip("10.77.0.12"), ip("fd00:77::12")];
        let own = [ip("10.77.0.11"), ip("fd00:77::11")];
        for (address, from) in living.into_iter().zip(own) {
            for from in [Some(from), None] {
                echo.ask_witness(address, from, PATIENT);
                assert!(witness(&reports, address), "{address} from {from:?}");
            }
            // An address that is not ours can not be asked from, and that is not remembered.
            echo.ask_witness(address, Some(address), SHORT);
            assert!(!witness(&reports, address), "{address}");
            echo.ask_witness(address, Some(from), PATIENT);
            assert!(witness(&reports, address), "{address}");
        }
        // Nobody there, no route, another family.
        for (address, from) in [("10.77.0.99", None), ("192.0.2.1", None), ("10.77.0.12", Some(own[1]))] {
            echo.ask_witness(ip(address), from, SHORT);
            assert!(!witness(&reports, ip(address)), "{address}");
        }
        lab.unplug("web2").expect("a cable");
        for address in living {
            echo.ask_witness(address, None, SHORT);
            assert!(!witness(&reports, address), "{address}");
        }
    });
}

#[test]
fn overlapping_questions_each_have_an_answer() {
    in_lab("overlapping_questions_each_have_an_answer", |mut lab| {
        let (server, client) = two_hosts(&mut lab);
        let (echo, reports) = start(&server);
        let (_, other) = (start(&client), start(&client));
        let there = ip("10.77.0.12");
        for round in 0..100 {
            echo.ask_witness(there, None, PATIENT);
            assert!(witness(&reports, there), "{round}");
        }
        let nobody = ip("10.77.0.99");
        for _ in 0..3 {
            echo.ask_witness(nobody, None, SHORT);
            echo.ask_witness(there, None, PATIENT);
            assert!(witness(&reports, there));
        }
        assert!(!witness(&reports, nobody));
        drop(other);
    });
}
