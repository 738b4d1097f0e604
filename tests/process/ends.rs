//! How commands are ended.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::process::{End, ProcessLimits};
use super::{beside_others, mark, marked, processes, quick, run, sh, start, start_with, text, until};

#[test]
fn a_command_that_runs_for_too_long_is_ended() {
    let _beside = beside_others();
    let mark = mark();
    let mut spec = sh(&format!("echo begun; sleep {mark}; echo never"));
    spec.timeout = Duration::from_millis(200);
    let finished = run(spec);
    assert_eq!((finished.end, text(&finished.stdout)), (End::TimedOut, "begun\n"));
    assert!(finished.ran >= Duration::from_millis(200));
    assert_eq!(marked(&mark), []);
}

#[test]
fn a_command_may_clean_up_when_it_is_ended() {
    let _beside = beside_others();
    let processes = processes(ProcessLimits { kill_delay: super::PATIENCE, ..quick() });
    let (sender, lines) = mpsc::channel();
    let script = "trap 'echo bye; exit 0' TERM; echo begun; while :; do sleep 0.01; done";
    let on_line = Box::new(move |line: &str| drop(sender.send(line.to_owned())));
    let started = start_with(&processes, sh(script), Some(on_line));
    // The trap is set by now.
    assert_eq!(lines.recv_timeout(super::PATIENCE).unwrap(), "begun");
    started.running.cancel();
    let finished = started.result();
    assert_eq!((finished.end, text(&finished.stdout)), (End::Cancelled, "begun\nbye\n"));
}

#[test]
fn a_command_that_ignores_term_is_killed() {
    let _beside = beside_others();
    let mark = mark();
    let kill_delay = Duration::from_millis(300);
    let processes = processes(ProcessLimits { kill_delay, ..quick() });
    let started = start(&processes, sh(&format!("trap '' TERM; sleep {mark}; sleep {mark}; echo never")));
    until("it sleeps", || marked(&mark).len() == 1);
    let asked = Instant::now();
    started.running.cancel();
    let finished = started.result();
    assert_eq!(finished.end, End::Cancelled);
    assert!(asked.elapsed() >= kill_delay, "{:?}", asked.elapsed());
    assert_eq!(marked(&mark), []);
}

#[test]
fn a_stopped_command_is_ended() {
    let _beside = beside_others();
    let mark = mark();
    let processes = processes(ProcessLimits { kill_delay: super::PATIENCE, ..quick() });
    let started = start(&processes, sh(&format!("sleep {mark} & kill -STOP $$")));
    let is_stopped = |pid: u32| {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "))
    };
    until("the shell is stopped", || {
        marked(&mark).first().and_then(|sleep| super::parent(*sleep)).is_some_and(is_stopped)
    });
    started.running.cancel();
    assert_eq!(started.result().end, End::Cancelled);
    assert_eq!(marked(&mark), []);
}

#[test]
fn output_without_end_is_no_way_around_the_timeout() {
    let _beside = beside_others();
    // The first lines are enough for both bounds, however little of the processor the shell gets.
    let mut spec = sh("printf %01000d 0; printf %04096d 0 >&2; while :; do echo more; echo worse >&2; done");
    spec.timeout = Duration::from_millis(300);
    spec.output_bytes_max = 1000;
    let finished = run(spec);
    assert_eq!((finished.end, finished.stdout.len(), finished.stdout_cut), (End::TimedOut, 1000, true));
    assert_eq!(finished.stderr.len(), 4096);
}

#[test]
fn a_cancelled_command_may_be_cancelled_again() {
    let _beside = beside_others();
    let processes = processes(quick());
    let started = start(&processes, sh("sleep 600"));
    started.running.cancel();
    started.running.clone().cancel();
    assert_eq!(started.result().end, End::Cancelled);
    started.running.cancel();
    assert_eq!(start(&processes, sh("exit 7")).result().end, End::Exited(7));
}

#[test]
fn a_result_does_not_wait_for_what_cannot_be_ended() {
    let _beside = beside_others();
    let mark = mark();
    let short = Duration::from_millis(100);
    // Long enough that the guard is stopped once more before it would send KILL.
    let kill_delay = Duration::from_secs(2);
    let processes = processes(ProcessLimits { kill_delay, abandon_delay: short, ..quick() });
    // A guard that is stopped again and again is like a process that waits for a dead file system.
    let mut spec =
        sh(&format!("trap '' TERM; echo begun; sleep {mark} & while :; do kill -STOP $PPID; done"));
    spec.timeout = short;
    let finished = start(&processes, spec).result();
    assert_eq!((finished.end, text(&finished.stdout)), (End::TimedOut, "begun\n"));
    assert!(finished.ran >= kill_delay + 2 * short, "{:?}", finished.ran);
    assert_eq!(processes.running(), 1);
    assert!(!processes.shut_down(short));
    // Without the loop, the guard is as any other.
    let sleep = marked(&mark)[0];
    let shell = super::parent(sleep).unwrap();
    let guard = super::parent(shell).unwrap();
    signal(shell, Signal::KILL);
    signal(guard, Signal::CONT);
    assert!(processes.shut_down(super::PATIENCE));
    assert_eq!((processes.running(), marked(&mark)), (0, vec![]));
}

fn signal(process: u32, signal: Signal) {
    rustix::process::kill_process(Pid::from_raw(process.try_into().unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn a_guard_that_others_end_ends_its_command() {
    let _beside = beside_others();
    let mark = mark();
    // As a service manager does that ends all processes of a service at once.
    let finished = run(sh(&format!("setsid sleep {mark} & kill -TERM $PPID; sleep {mark}; sleep {mark}")));
    assert_eq!(finished.end, End::Signalled(15));
    assert_eq!(marked(&mark), []);
}

#[test]
fn a_shutdown_ends_all_and_refuses_more() {
    let _beside = beside_others();
    let mark = mark();
    let processes = processes(quick());
    let started: Vec<_> =
        (0..5).map(|_| start(&processes, sh(&format!("trap '' TERM; sleep {mark}; sleep {mark}")))).collect();
    until("all sleep", || marked(&mark).len() == 5);
    assert!(processes.shut_down(super::PATIENCE));
    assert_eq!(marked(&mark), []);
    assert_eq!(processes.running(), 0);
    for started in started {
        assert_eq!(started.result().end, End::Cancelled);
    }
    let refused = start(&processes, sh("true")).result();
    assert_eq!(refused.end, End::NotStarted("the server is shutting down".to_owned()));
    assert!(processes.shut_down(super::PATIENCE));
}

#[test]
fn a_shutdown_waits_no_longer_than_its_grace() {
    let _beside = beside_others();
    let processes = processes(ProcessLimits { kill_delay: Duration::from_secs(1), ..quick() });
    let mark = mark();
    let started = start(&processes, sh(&format!("trap '' TERM; sleep {mark}; sleep {mark}")));
    until("it sleeps", || marked(&mark).len() == 1);
    assert!(!processes.shut_down(Duration::from_millis(50)));
    assert_eq!(processes.running(), 1);
    assert!(processes.shut_down(super::PATIENCE));
    assert_eq!(started.result().end, End::Cancelled);
    assert_eq!(marked(&mark), []);
}
