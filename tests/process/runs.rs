//! What a command gets, and what comes back.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use super::process::{End, ProcessLimits, Rlimits};
use super::{
    Gate, LONG, beside_others, binary, command, processes, quick, run, sh, start, start_with, text, until,
};

#[test]
fn output_and_exit_code_come_back() {
    let _beside = beside_others();
    let finished = run(sh("echo out; echo err >&2; exit 3"));
    assert_eq!(finished.end, End::Exited(3));
    assert_eq!((text(&finished.stdout), text(&finished.stderr)), ("out\n", "err\n"));
    assert!(!finished.stdout_cut);
    assert!(finished.ran > Duration::ZERO);
    assert_eq!(run(command(&["/bin/true"])).end, End::Exited(0));
    assert_eq!(run(sh("exit 255")).end, End::Exited(255));
    assert_eq!(run(sh("kill -SEGV $$")).end, End::Signalled(11));
    assert_eq!(run(sh("kill -KILL $$")).end, End::Signalled(9));
}

#[test]
fn arguments_arrive_byte_for_byte() {
    let _beside = beside_others();
    let arguments: [&[u8]; 12] = [
        b"a b",
        b"",
        b"'\"`",
        b"$(id)",
        b"$HOME",
        b"a\nb",
        b"-n",
        b"--",
        b"*",
        b"\xff\xfe",
        b"%s\\n",
        b";reboot",
    ];
    let mut spec = sh("printf '%s\\0' \"$@\"");
    spec.argv.push("name".into());
    spec.argv.extend(arguments.map(|argument| OsString::from_vec(argument.to_vec())));
    let mut expected = arguments.join(&0);
    expected.push(0);
    assert_eq!(run(spec).stdout, expected);
}

#[test]
fn the_environment_is_the_given_one_and_nothing_else() {
    let _beside = beside_others();
    let mut spec = command(&["/usr/bin/env"]);
    assert_eq!(text(&run(spec).stdout), "PATH=/usr/bin:/bin\n");
    spec = command(&["/usr/bin/env"]);
    spec.env = vec![("A".into(), "1=2".into()), ("B".into(), "".into())];
    assert_eq!(text(&run(spec).stdout), "A=1=2\nB=\n");
}

#[test]
fn the_folder_is_the_given_one() {
    let _beside = beside_others();
    let folder = std::env::temp_dir().canonicalize().unwrap();
    let mut spec = sh("pwd -P");
    spec.cwd = folder.clone();
    assert_eq!(text(&run(spec).stdout).trim_end(), folder.to_str().unwrap());
}

#[test]
fn standard_input_is_passed_on_whole() {
    let _beside = beside_others();
    // More than pipes and sockets take at once.
    let input: Vec<u8> = (0..3_000_000_u32).map(|at| at.to_le_bytes()[at as usize % 3]).collect();
    let mut spec = command(&["/bin/cat"]);
    spec.stdin = Some(input.clone());
    spec.output_bytes_max = 4_000_000;
    assert!(run(spec).stdout == input);
    let mut spec = command(&["/bin/cat"]);
    spec.stdin = Some(Vec::new());
    assert_eq!(run(spec).end, End::Exited(0));
    // None is an end at once.
    assert_eq!(run(command(&["/bin/cat"])).end, End::Exited(0));
}

#[test]
fn nothing_waits_for_a_command_that_does_not_read_its_input() {
    let _beside = beside_others();
    let input = Some(vec![b'x'; 1_000_000]);
    for script in ["exit 4", "exec <&-; echo closed; exit 4", "read -r line <&2; exit 4"] {
        let mut spec = sh(script);
        spec.stdin = input.clone();
        assert_eq!(run(spec).end, End::Exited(4), "{script}");
    }
}

#[test]
fn output_is_kept_up_to_its_bound() {
    let _beside = beside_others();
    for (bytes, cut) in [(1000, false), (1001, true)] {
        let mut spec = sh(&format!("printf '%0{bytes}d' 7"));
        spec.output_bytes_max = 1000;
        let finished = run(spec);
        assert_eq!((finished.stdout.len(), finished.stdout_cut), (1000, cut), "{bytes}");
        assert_eq!(finished.end, End::Exited(0));
    }
    // The rest is read, or the command would wait for ever.
    let mut spec = sh("dd if=/dev/zero bs=65536 count=160; echo last >&2");
    spec.output_bytes_max = 10;
    let finished = run(spec);
    assert_eq!((finished.stdout, finished.stdout_cut), (vec![0; 10], true));
    assert!(text(&finished.stderr).ends_with("last\n"));
}

#[test]
fn the_last_of_standard_error_is_kept() {
    let _beside = beside_others();
    let finished = run(sh("for i in 1 2 3 4 5 6 7 8 9; do printf '%01000d\\n' $i >&2; done"));
    let all: String = (1..=9).map(|i| format!("{i:01000}\n")).collect();
    assert_eq!(text(&finished.stderr), &all[all.len() - 4096..]);
}

#[test]
fn a_command_may_close_its_output_early() {
    let _beside = beside_others();
    let finished = run(sh("echo said; exec >&- 2>&-; sleep 0.1; exit 5"));
    assert_eq!((finished.end, text(&finished.stdout)), (End::Exited(5), "said\n"));
}

#[test]
fn lines_are_passed_on_as_they_come_and_the_last_ones_are_the_result() {
    let _beside = beside_others();
    let processes = processes(ProcessLimits { line_bytes_max: 10, ..quick() });
    let (sender, lines) = mpsc::channel();
    // It waits to be let go on, so the first line has come while it runs.
    let gate = Gate::new();
    let mut spec = sh(&format!("echo one; {}; echo two; echo 12345678901; printf end", gate.wait()));
    spec.lines = true;
    spec.output_bytes_max = 16;
    let on_line = Box::new(move |line: &str| drop(sender.send(line.to_owned())));
    let started = start_with(&processes, spec, Some(on_line));
    assert_eq!(lines.recv_timeout(super::PATIENCE).unwrap(), "one");
    assert!(started.finished.try_recv().is_err());
    gate.open();
    let finished = started.result();
    assert_eq!(lines.iter().collect::<Vec<_>>(), ["two", "1234567890", "end"]);
    assert_eq!((text(&finished.stdout), finished.stdout_cut), ("12345678901\nend", true));
}

#[test]
fn what_cannot_start_says_why_and_what_to_do() {
    let _beside = beside_others();
    let folder = std::env::temp_dir().join(format!("rill-start-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, content: &str, mode: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        assert!(std::process::Command::new("chmod").arg(mode).arg(&path).status().unwrap().success());
        path.into_os_string().into_string().unwrap()
    };
    let refused = |spec| match run(spec).end {
        End::NotStarted(text) => text,
        end => panic!("{end:?}"),
    };
    let missing = folder.join("missing").into_os_string().into_string().unwrap();
    assert_eq!(
        refused(command(&[&missing])),
        format!("{missing} does not exist: install it, or correct its path")
    );
    let plain = file("plain", "#!/bin/sh\n", "644");
    assert!(
        refused(command(&[&plain]))
            .starts_with(&format!("{plain} may not be executed by the user with uid "))
    );
    let text = refused(command(&[folder.to_str().unwrap()]));
    assert!(text.ends_with(" is a folder: name a program in it"), "{text}");
    let text = refused(command(&[&format!("{plain}/x")]));
    assert!(text.contains("a part of its path is no folder"), "{text}");
    let script = file("script", "#!/no/such/interpreter -x\n", "755");
    let text = refused(command(&[&script]));
    assert!(text.contains("is a script for /no/such/interpreter, which does not exist"), "{text}");
    // No shell runs what does not name one.
    for (name, content) in [("broken", "\x7fELF\0\0\0"), ("text", "touch touched\n"), ("empty", "")] {
        let file = file(name, content, "755");
        let mut spec = command(&[&file]);
        spec.cwd.clone_from(&folder);
        assert_eq!(
            refused(spec),
            format!(
                "{file} is no program for this machine, and no script whose first line names its interpreter (#!)"
            )
        );
    }
    assert!(!folder.join("touched").exists());
    let text = refused(command(&["/bin/echo", &"x".repeat(200_000)]));
    assert!(text.contains("/bin/echo was given 200020 bytes of arguments and environment"), "{text}");
    let text = refused(command(&["/bin/echo", "a\0b"]));
    assert!(text.contains("a zero byte"), "{text}");
    let mut spec = command(&["/bin/true"]);
    spec.cwd = PathBuf::from(&missing);
    let text = refused(spec);
    assert!(text.starts_with(&format!("its folder, cwd {missing}, cannot be entered: ")), "{text}");
    assert!(refused(command(&[])).contains("argv is empty"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn more_arguments_than_a_socket_takes_at_once_arrive() {
    let _beside = beside_others();
    let mut spec = sh("echo $#");
    spec.argv.push("name".into());
    spec.argv.extend((0..15).map(|_| OsString::from("x".repeat(100_000))));
    spec.stdin = Some(b"in".to_vec());
    assert_eq!(text(&run(spec).stdout), "15\n");
}

#[test]
fn a_command_has_a_session_a_group_and_nothing_of_the_server() {
    let _beside = beside_others();
    let finished =
        run(sh("cat /proc/self/stat; ls /proc/self/fd; grep -E 'Sig(Blk|Ign)|NoNewPrivs' /proc/self/status"));
    let mut lines = text(&finished.stdout).lines();
    let stat: Vec<i32> = lines
        .next()
        .unwrap()
        .rsplit(") ")
        .next()
        .unwrap()
        .split(' ')
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let (shell, group, session) = (stat[0], stat[1], stat[2]);
    assert_eq!(shell, group);
    // The number is 0 where the session began outside of this container.
    let own = std::fs::read_to_string("/proc/self/stat").unwrap();
    assert_ne!(session, own.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap().parse::<i32>().unwrap());
    // Descriptors that this program was given by others, and signals that it was told to ignore, are passed on.
    let inherited = |fd: &str| {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
        let flags =
            info.lines().find_map(|line| line.strip_prefix("flags:")).map(str::trim).unwrap_or_default();
        u32::from_str_radix(flags, 8).is_ok_and(|flags| flags & 0o2_000_000 == 0)
    };
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = own.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    let sigpipe = 1 << (13 - 1);
    // The C library uses two signals for its threads.
    let threads = 3 << (32 - 1);
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    assert_ne!(ignored & sigpipe, 0);
    let (descriptors, status): (Vec<&str>, Vec<&str>) = lines.partition(|line| !line.contains(':'));
    // The descriptor 3, or the next free one, is how `ls` reads the folder.
    let more = descriptors.iter().filter(|fd| !["0", "1", "2"].contains(fd) && !inherited(fd));
    assert_eq!(more.count(), 1, "{descriptors:?}");
    let [blocked, passed_on, privileges] = status[..] else { panic!("{status:?}") };
    assert_eq!((blocked, privileges), ("SigBlk:\t0000000000000000", "NoNewPrivs:\t1"));
    let passed_on = u64::from_str_radix(passed_on.strip_prefix("SigIgn:\t").unwrap(), 16).unwrap();
    assert_eq!(passed_on & !threads, ignored & !sigpipe & !threads);
}

#[test]
fn limits_of_the_kernel_are_in_force() {
    let _beside = beside_others();
    let rlimits =
        Rlimits { cpu_seconds: Some(7), memory_bytes: Some(1 << 30), files: Some(33), processes: Some(4321) };
    let mut spec = command(&["/bin/cat", "/proc/self/limits"]);
    spec.rlimits = rlimits;
    assert_eq!(rlimits.refused(), [""; 0]);
    let finished = run(spec);
    for (name, value) in [
        ("Max cpu time", ["7", "8"]),
        ("Max address space", ["1073741824"; 2]),
        ("Max open files", ["33"; 2]),
        ("Max processes", ["4321"; 2]),
    ] {
        let line = text(&finished.stdout).lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(line[name.len()..].split_whitespace().take(2).collect::<Vec<_>>(), value, "{line}");
    }
    // Without one, the soft limit is one that every program copes with.
    let finished = run(command(&["/bin/cat", "/proc/self/limits"]));
    let line = text(&finished.stdout).lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert!(line.split_whitespace().nth(3).unwrap().parse::<u32>().unwrap() <= 1024, "{line}");
    let busy = Rlimits { cpu_seconds: Some(1), ..Rlimits::default() };
    let mut spec = sh("while :; do :; done");
    spec.rlimits = busy;
    let xcpu = 24;
    assert_eq!(run(spec).end, End::Signalled(xcpu));
    // So little that not even the loader fits in.
    let mut spec = command(&["/bin/true"]);
    spec.rlimits = Rlimits { memory_bytes: Some(64 << 10), ..Rlimits::default() };
    assert!(matches!(run(spec).end, End::Signalled(_)));
}

#[test]
fn a_limit_above_the_hard_one_is_refused_at_load() {
    let _beside = beside_others();
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    if let Some(hard) = hard {
        assert_eq!(Rlimits { files: Some(hard), ..Rlimits::default() }.refused(), [""; 0]);
        assert_eq!(
            Rlimits { files: Some(hard + 1), ..Rlimits::default() }.refused(),
            [format!(
                "files is {}, but the hard limit of the system is {hard}: lower it, or raise the system's",
                hard + 1
            )]
        );
    }
}

#[test]
fn as_many_run_as_running_max_says() {
    let _beside = beside_others();
    let processes = processes(ProcessLimits { running_max: 2, ..quick() });
    let running = [start(&processes, sh("sleep 600")), start(&processes, sh("sleep 600"))];
    let refused = start(&processes, sh("true")).result();
    assert_eq!(
        refused.end,
        End::NotStarted("2 commands are running already (running_max): try again later".to_owned())
    );
    assert_eq!(processes.running(), 2);
    running[0].running.cancel();
    assert_eq!(running[0].result().end, End::Cancelled);
    assert_eq!(start(&processes, sh("true")).result().end, End::Exited(0));
    running[1].running.cancel();
    running[1].result();
    until("none runs", || processes.running() == 0);
}

#[test]
fn as_much_is_captured_as_captured_bytes_max_says() {
    let _beside = beside_others();
    let limits = ProcessLimits { line_bytes_max: 0, stderr_bytes_max: 0, ..quick() };
    let spec = |input: usize| {
        let mut spec = command(&["/bin/cat"]);
        (spec.env, spec.timeout, spec.output_bytes_max) = (Vec::new(), LONG, 100);
        spec.stdin = Some(vec![b'x'; input]);
        spec
    };
    // The name of the program has 8 bytes.
    let processes = processes(ProcessLimits { captured_bytes_max: 128, ..limits });
    assert_eq!(start(&processes, spec(20)).result().end, End::Exited(0));
    let End::NotStarted(text) = start(&processes, spec(21)).result().end else { panic!() };
    assert!(
        text.contains("129 bytes") && text.contains("128 are allowed in all (captured_bytes_max)"),
        "{text}"
    );
}

#[test]
fn a_program_that_is_no_guard_is_reported() {
    let _beside = beside_others();
    let start_with = |program: &str| {
        let processes = super::Processes::start_with(program.into(), quick()).unwrap();
        match start(&processes, sh("true")).result().end {
            End::NotStarted(text) => text,
            end => panic!("{end:?}"),
        }
    };
    let text = start_with("/no/such/program");
    assert!(text.contains("/no/such/program cannot be found") && text.contains("mount /proc"), "{text}");
    let text = start_with("/bin/false");
    assert!(text.contains("its guard ended without a report"), "{text}");
}

#[test]
fn the_internal_commands_refuse_to_run_by_hand() {
    for arguments in [&["__guard", "2000"][..], &["__guard"], &["__launch", "1"], &["__launch"]] {
        let output = std::process::Command::new(binary())
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        let text = text(&output.stderr);
        assert!(
            text.contains("is an internal command of this program, and failed: "),
            "{arguments:?}: {text}"
        );
    }
}
