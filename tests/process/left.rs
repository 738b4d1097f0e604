//! Nothing is left of a command, however it and the server end.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::process::{End, ProcessLimits};
use super::{
    Gate, Started, alone, beside_others, children, counted, mark, marked, processes, quick, run, sh, start,
    text, until,
};

#[test]
fn what_a_command_leaves_in_the_background_is_ended_with_it() {
    let _beside = beside_others();
    let mark = mark();
    // The background processes hold standard output open, and the result does not wait for them.
    let finished = run(sh(&format!(
        "sleep {mark} & (sleep {mark} &) ; trap '' TERM; (sleep {mark} &); echo done; exit 2"
    )));
    assert_eq!((finished.end, text(&finished.stdout)), (End::Exited(2), "done\n"));
    assert_eq!(marked(&mark), []);
}

#[test]
fn what_detaches_itself_is_ended_with_its_command() {
    let _beside = beside_others();
    let mark = mark();
    // Sessions of their own, orphans, and orphans of orphans.
    let gate = Gate::new();
    let script = format!(
        "setsid sleep {mark} &
         setsid setsid sh -c 'trap \"\" TERM HUP; setsid sleep {mark} & (setsid sleep {mark} &); sleep {mark}' &
         (setsid sh -c 'setsid sleep {mark} & exit' &)
         {}",
        gate.wait()
    );
    let processes = processes(quick());
    let started = start(&processes, sh(&script));
    until("all sleep", || marked(&mark).len() == 5);
    gate.open();
    let finished = started.result();
    assert_eq!((finished.end, text(&finished.stderr)), (End::Exited(0), ""));
    assert_eq!(marked(&mark), []);
}

#[test]
fn what_detaches_itself_is_ended_when_its_command_is_cancelled() {
    let _beside = beside_others();
    let mark = mark();
    let processes = processes(quick());
    let script = format!(
        "setsid sh -c 'trap \"\" TERM; sleep {mark}; sleep {mark}' & (setsid sleep {mark} &); sleep {mark}"
    );
    let started = start(&processes, sh(&script));
    until("all sleep", || marked(&mark).len() == 3);
    started.running.cancel();
    assert_eq!(started.result().end, End::Cancelled);
    assert_eq!(marked(&mark), []);
}

#[test]
fn a_command_that_never_stops_starting_others_is_ended() {
    let _beside = beside_others();
    let mark = mark();
    // Each starts the next one and ends: no process id is worth anything when it has been read.
    let script = format!("[ $1 -gt 0 ] || exit; sleep {mark} & setsid sh -c \"$0\" \"$0\" $(($1 - 1)) &");
    let mut spec = sh(&format!("sh -c '{script}' '{script}' 5000; sleep {mark}"));
    spec.timeout = Duration::from_millis(200);
    assert_eq!(run(spec).end, End::TimedOut);
    assert_eq!(marked(&mark), []);
}

#[test]
fn a_command_that_kills_its_guard_ends_with_it() {
    let _beside = beside_others();
    let mark = mark();
    let finished = run(sh(&format!("kill -KILL $PPID; sleep {mark}; echo never")));
    assert_eq!((finished.end, text(&finished.stdout)), (End::Signalled(9), ""));
    // Its command is killed by the kernel.
    let shell = format!("kill -KILL $PPID; sleep {mark}; echo never");
    until("the shell has ended", || marked(&shell).is_empty());
    // Only what that started is out of reach.
    for pid in marked(&mark) {
        let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    }
}

#[test]
fn a_command_that_stops_its_guard_is_ended() {
    let _beside = beside_others();
    let mark = mark();
    let mut spec = sh(&format!("kill -STOP $PPID; sleep {mark}"));
    spec.timeout = Duration::from_millis(100);
    assert_eq!(run(spec).end, End::TimedOut);
    assert_eq!(marked(&mark), []);
}

#[test]
fn the_thread_ends_what_runs_when_all_handles_are_gone() {
    let _alone = alone();
    until("others are done", || counted().2 == 0);
    let before = counted();
    let mark = mark();
    let processes = processes(quick());
    let Started { running, finished } = start(&processes, sh(&format!("sleep {mark}")));
    until("it sleeps", || marked(&mark).len() == 1);
    drop(processes);
    // Whoever may cancel it still counts.
    assert_eq!(finished.recv_timeout(Duration::from_millis(50)).err(), Some(mpsc::RecvTimeoutError::Timeout));
    drop(running);
    assert_eq!(finished.recv_timeout(super::PATIENCE).unwrap().end, End::Cancelled);
    until("all is as before", || counted() == before);
    assert_eq!(marked(&mark), []);
}

/// A program that runs commands, as a test of its own process that `serves_until_it_is_killed` is.
fn server(mark: &str, commands: usize) -> Child {
    let server = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "left::serves_until_it_is_killed", "--ignored", "--nocapture"])
        .env("MARK", mark)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("all commands run", || marked(mark).len() == 3 * commands);
    server
}

const COMMANDS: usize = 4;

#[test]
#[ignore = "a program for the other tests here, which run it"]
fn serves_until_it_is_killed() {
    let Ok(mark) = std::env::var("MARK") else { return };
    let processes = processes(quick());
    let script = format!(
        "trap '' TERM HUP INT; sleep {mark} & (setsid sleep {mark} &); sh -c 'sleep {mark}; echo never'"
    );
    let _started: Vec<Started> = (0..COMMANDS).map(|_| start(&processes, sh(&script))).collect();
    // Until the test that started it has gone.
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn nothing_is_left_of_a_server_that_is_killed() {
    let _beside = beside_others();
    let mark = mark();
    let mut server = server(&mark, COMMANDS);
    let guards = children(server.id());
    assert_eq!(guards.len(), COMMANDS);
    server.kill().unwrap();
    server.wait().unwrap();
    until("no command is left", || marked(&mark).is_empty());
    // The first process of a container need not collect them: then they stay as zombies.
    let runs = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    };
    until("no guard is left", || !guards.iter().any(|&pid| runs(pid)));
}

#[test]
fn a_thousand_commands_leave_nothing() {
    let _alone = alone();
    until("others are done", || counted().2 == 0);
    let before = counted();
    let mark = mark();
    {
        let limits = ProcessLimits { kill_delay: Duration::from_millis(20), ..ProcessLimits::default() };
        let running_max = limits.running_max;
        let processes = processes(limits);
        let mut ends = [0; 3];
        let mut started: Vec<(usize, Started)> = Vec::new();
        for number in 0..1000 {
            let case = number % 3;
            let mut spec = match case {
                0 => sh(&format!("sleep {mark} & (setsid sleep {mark} &); echo done")),
                1 => sh(&format!("(setsid sleep {mark} &); trap '' TERM; sleep {mark}; sleep {mark}")),
                _ => sh(&format!("while :; do echo more; done & setsid sleep {mark}")),
            };
            spec.stdin = Some(vec![b'x'; number * 100]);
            if case == 1 {
                // At every moment of a start.
                spec.timeout = Duration::from_micros(number as u64 * 30);
            }
            started.push((case, start(&processes, spec)));
            if case == 2 && number % 2 == 0 {
                started.last().unwrap().1.running.cancel();
            }
            if started.len() == running_max || number == 999 {
                for (case, started) in started.drain(..) {
                    if case == 2 {
                        started.running.cancel();
                    }
                    let end = started.result().end;
                    assert_eq!(end, [End::Exited(0), End::TimedOut, End::Cancelled][case]);
                    ends[case] += 1;
                }
                until("none runs", || processes.running() == 0);
            }
        }
        assert_eq!(ends.iter().sum::<usize>(), 1000);
        until("descriptors are closed", || counted() == (before.0, before.1 + 2, 1));
    }
    until("all is as before", || counted() == before);
    assert_eq!(marked(&mark), []);
}
