//! Processes that do what they should not: only their own session notices, and it is told why.

use std::time::{Duration, Instant};

use mcp_rill::client::Transport;

use super::life::children;
use super::{bridge, bridge_of, call, is_alive, program, refused, signal, started, wait_until};

#[test]
fn a_process_that_dies_answers_what_is_open_at_once() {
    let bridge = bridge(&[], "serve");
    for transport in [Transport::Sse, Transport::Streamable] {
        let mut client = bridge.connect(transport);
        let silent: Vec<_> =
            (0..10).map(|_| client.send("tools/call", Some(r#"{"name":"silent"}"#)).unwrap()).collect();
        let start = Instant::now();
        let error = refused(&mut client, "exit", r#"{"code":"42"}"#);
        assert!(
            error.contains(
                "the server `kid` ended with exit code 42; its last words: something broke | at line 1"
            ),
            "{error}"
        );
        for id in silent {
            assert!(client.wait(&id).unwrap_err().to_string().contains("exit code 42"));
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        // The next request has another process, to which the client is introduced.
        assert_eq!(call(&mut client, "kept", r#"{"of":"notifications/initialized"}"#), "");
    }
}

#[test]
fn half_an_answer_is_none() {
    let bridge = bridge(&[], "serve");
    let mut client = bridge.client();
    assert!(refused(&mut client, "half", "{}").contains("ended with exit code 0"));
}

#[test]
fn half_an_answer_and_nothing_more_holds_up_nobody_else() {
    let bridge = bridge(&[], "serve");
    let mut client = bridge.client();
    let pid = call(&mut client, "pid", "{}");
    let id = client.send("tools/call", Some(r#"{"name":"stutter"}"#)).unwrap();
    for _ in 0..10 {
        call(&mut bridge.client(), "pid", "{}");
    }
    client.cancel(&id, "enough").unwrap();
    client.close();
    wait_until("it is gone", || !is_alive(&pid));
}

#[test]
fn a_question_that_nobody_answers_is_answered_with_an_error() {
    let bridge = bridge(&["--limit", "question_timeout=1s"], "serve");
    let builder = bridge.builder(Transport::Streamable).capabilities(r#"{"elicitation":{}}"#);
    let mut client = builder
        .on_request(|_, _| {
            std::thread::sleep(Duration::from_millis(2500));
            Ok("{}".to_owned())
        })
        .connect(&bridge.url(Transport::Streamable))
        .unwrap();
    let answer = call(&mut client, "ask", "{}");
    assert!(answer.contains("has not answered in time (limit question_timeout)"), "{answer}");
    // Its answer comes too late, and is nobody else's.
    assert_eq!(call(&mut client, "keep", r#"{"text":"x"}"#), "kept");
}

/// As when a system has no process or no descriptor left.
#[test]
fn a_process_that_the_system_cannot_start_is_one_that_cannot_start() {
    let own = std::env::current_exe().unwrap();
    let script = "exec 3>&1 >/dev/null; exec \"$0\" --exact child::child";
    let mut process = std::process::Command::new("sh");
    let limited = "ulimit -n 32; exec \"$0\" \"$@\"";
    process.args([
        "-c",
        limited,
        env!("CARGO_BIN_EXE_mcp-rill"),
        "bridge",
        "--listen",
        "127.0.0.1:0",
        "--name",
        "kid",
    ]);
    process.args(["--", "sh", "-c", script, own.to_str().unwrap()]).env("RILL_CHILD", "serve");
    let bridge = started(process);
    bridge.says("the system allows only 32 open files");
    let mut clients = vec![bridge.client()];
    let url = bridge.url(Transport::Streamable);
    let error = loop {
        match bridge.builder(Transport::Streamable).connect_timeout(Duration::from_secs(2)).connect(&url) {
            Ok(client) => clients.push(client),
            Err(error) => break error.to_string(),
        }
        assert!(clients.len() < 32);
    };
    assert!(error.contains("cannot be started") || error.contains("time"), "{error}");
    // Those that have one go on, and there is room again when one of them goes.
    for client in &mut clients {
        call(client, "pid", "{}");
    }
    let mut first = clients.remove(0);
    let pid = call(&mut first, "pid", "{}");
    first.close();
    wait_until("it is gone", || !is_alive(&pid));
    call(clients.last_mut().unwrap(), "pid", "{}");
}

/// As when the system is out of memory. The guard is reaped too.
#[test]
fn a_guard_that_is_killed_takes_its_process_along() {
    let bridge = bridge(&[], "serve");
    let mut client = bridge.client();
    let pid = call(&mut client, "pid", "{}");
    let [guard] = &children(bridge.process.id())[..] else { panic!("one process has one guard") };
    let silent = client.send("tools/call", Some(r#"{"name":"silent"}"#)).unwrap();
    signal("KILL", guard.parse().unwrap());
    let error = client.wait(&silent).unwrap_err().to_string();
    assert!(error.contains("the server `kid` was ended by signal 9"), "{error}");
    wait_until("the process is gone", || !is_alive(&pid));
    wait_until("the guard is reaped", || !children(bridge.process.id()).contains(guard));
    assert_ne!(call(&mut client, "pid", "{}"), pid);
    // So is one whose process ends as usual.
    client.close();
    wait_until("the guard is reaped", || children(bridge.process.id()).is_empty());
}

#[test]
fn a_guard_that_cannot_be_started_is_named() {
    let mut process = program(&[], "serve");
    process.env("MCP_RILL_OWN_PROGRAM", "/nowhere/mcp-rill");
    let bridge = started(process);
    for transport in [Transport::Streamable, Transport::Stateless] {
        let error = bridge.builder(transport).connect(&bridge.url(transport)).unwrap_err().to_string();
        assert!(
            error.contains("cannot be started: its guard cannot: /nowhere/mcp-rill cannot be found"),
            "{error}"
        );
    }
}

#[test]
fn banners_and_noise_are_skipped_up_to_a_bound() {
    let bridge = bridge(&[], "banner");
    let mut client = bridge.client();
    bridge.says("which is skipped: Welcome");
    assert_eq!(call(&mut client, "noise", r#"{"lines":100}"#), "after noise");
    assert_eq!(call(&mut client, "noise", r#"{"lines":100}"#), "after noise");
    let error = refused(&mut client, "noise", r#"{"lines":101}"#);
    assert!(
        error.contains("the server `kid` printed more than 100 lines in a row")
            && error.contains("`debug: 100`"),
        "{error}"
    );
    assert_eq!(call(&mut client, "garbage", "{}"), "after garbage");
}

#[test]
fn a_message_may_be_as_long_as_the_limit() {
    let bridge = bridge(&["--limit", "message_bytes_max=1MiB"], "serve");
    let mut client = bridge.client();
    let envelope = r#"{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":""}]}}"#.len();
    let most = (1 << 20) - envelope;
    assert_eq!(call(&mut client, "huge", &format!(r#"{{"bytes":{most}}}"#)).len(), most);
    let error = refused(&mut client, "huge", &format!(r#"{{"bytes":{}}}"#, most + 1));
    assert!(
        error.contains("the server `kid` sent a line of more than 1048576 bytes (limit message_bytes_max)"),
        "{error}"
    );
    for tool in ["endless", "100 MB"] {
        let error = refused(&mut client, tool, "{}");
        assert!(error.contains("message_bytes_max"), "{tool}: {error}");
    }
    let most = bridge.resident_most_kib();
    assert!(most < 64 << 10, "{most} KiB");
    assert_eq!(call(&mut client, "keep", r#"{"text":"x"}"#), "kept");
}

/// What a long message takes is given back once it is passed on, and not only when the next one comes.
#[test]
fn a_bridge_keeps_no_long_message() {
    let mut program = program(&["--limit", "body_bytes_max=16MiB"], "serve");
    // What is given back leaves the process at once.
    program.env("MALLOC_MMAP_THRESHOLD_", "65536");
    let bridge = started(program);
    let mut client = bridge.client();
    let mut pass = |bytes: usize, values: usize| {
        call(&mut client, "keep", &format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes)));
        client.call_tool("values", &format!(r#"{{"count":{values}}}"#)).unwrap();
    };
    pass(1, 1);
    let before = bridge.resident_kib();
    // The message downward takes 12 MiB, and the index of the one upward 16 MiB.
    for (bytes, values) in [(12 << 20, 1), (1, 1_000_000)] {
        pass(bytes, values);
        wait_until("it has no more than before", || bridge.resident_kib() < before + (8 << 10));
    }
}

#[test]
fn a_process_that_floods_costs_others_nothing() {
    let bridge = bridge(&[], "serve");
    let mut flooded = bridge.client();
    let mut other = bridge.client();
    let params = r#"{"name":"flood","_meta":{"progressToken":1}}"#;
    let id = flooded.send("tools/call", Some(params)).unwrap();
    for _ in 0..100 {
        call(&mut other, "pid", "{}");
    }
    flooded.cancel(&id, "enough").unwrap();
}

#[test]
fn a_process_may_fill_its_standard_error() {
    let bridge = bridge(&[], "serve");
    let mut client = bridge.client();
    assert_eq!(call(&mut client, "stderr", "{}"), "said");
    bridge.says("kid: yyyy");
    bridge.says("more lines were dropped");
}

/// `child_log_line_bytes_max`
#[test]
fn a_long_line_of_standard_error_is_cut() {
    let bridge = bridge(&[], "serve");
    let mut client = bridge.client();
    call(&mut client, "line", r#"{"bytes":4096}"#);
    bridge.says(&format!("kid: {}Z\n", "Q".repeat(4095)));
    call(&mut client, "line", r#"{"bytes":4097}"#);
    bridge.says(&format!("kid: {}\n", "Q".repeat(4096)));
}

/// `child_tail_bytes_max`
#[test]
fn the_last_words_of_a_process_have_a_most_of_bytes() {
    for (bytes, shown) in
        [(1024, format!(": Z{}", "Q".repeat(1023))), (1025, format!(": {}", "Q".repeat(1024)))]
    {
        let said = format!("Z{}", "Q".repeat(bytes - 1));
        let bridge = bridge_of(&[], "", &["sh", "-c", &format!("printf {said} >&2; exit 7")]);
        let url = bridge.url(Transport::Streamable);
        let error = bridge.builder(Transport::Streamable).connect(&url).unwrap_err().to_string();
        assert!(error.contains(&format!("its last words{shown}")), "{bytes}: {error}");
    }
}

/// What cannot start says why, to the client and in the log.
#[test]
fn a_process_that_cannot_start_says_why() {
    let bridge = bridge(&[], "die");
    let url = bridge.url(Transport::Streamable);
    let connect = || bridge.builder(Transport::Streamable).connect(&url).unwrap_err().to_string();
    let error = connect();
    assert!(error.contains("ended with exit code 7; its last words: no such folder | last words"), "{error}");
    bridge.says("kid: it ended with exit code 7");
    let bridge = bridge_of(&[], "", &["/dev/null"]);
    let url = bridge.url(Transport::Streamable);
    let error = bridge.builder(Transport::Streamable).connect(&url).unwrap_err().to_string();
    assert!(error.contains("could not be started: /dev/null may not be executed"), "{error}");
}

#[test]
fn a_process_that_reads_nothing_is_not_waited_for_without_end() {
    let bridge = bridge(&["--limit", "body_bytes_max=256KiB"], "serve");
    let mut client = bridge.client();
    let _stopped = client.send("tools/call", Some(r#"{"name":"stop"}"#)).unwrap();
    let padding = "x".repeat(100_000);
    // The pipe takes some, the bridge keeps some, and more is refused at once.
    let mut busy = None;
    for _ in 0..10 {
        let params = format!(r#"{{"name":"echo","arguments":{{"x":"{padding}"}}}}"#);
        let id = client.send("tools/call", Some(&params)).unwrap();
        if let Ok(Some(mcp_rill::client::Received::Answer { outcome: Err(error), .. })) =
            client.next_message(Duration::from_millis(300))
        {
            busy = Some(error.to_string());
            break;
        }
        let _ = id;
    }
    let busy = busy.expect("everything is taken");
    assert!(busy.contains("has not read") && busy.contains("limit body_bytes_max"), "{busy}");
    // Others do not notice.
    assert_eq!(call(&mut bridge.client(), "keep", r#"{"text":"x"}"#), "kept");
}

#[test]
fn a_process_that_asks_without_reading_the_answers_is_ended() {
    let bridge = bridge(&["--limit", "body_bytes_max=64KiB"], "serve");
    let mut client = bridge.client();
    let error = refused(&mut client, "pings", "{}");
    assert!(
        error.contains("of answers to its own requests") && error.contains("twice body_bytes_max"),
        "{error}"
    );
    assert_eq!(call(&mut client, "keep", r#"{"text":"x"}"#), "kept");
}

/// What its clients answer is bounded as what the bridge answers itself.
#[test]
fn a_process_that_asks_clients_without_reading_their_answers_is_ended() {
    let bridge = bridge(&["--limit", "body_bytes_max=64KiB"], "serve");
    let answer = format!(r#"{{"action":"accept","content":{{"text":"{}"}}}}"#, "x".repeat(60_000));
    let mut client = bridge
        .builder(Transport::Streamable)
        .capabilities(r#"{"elicitation":{}}"#)
        .on_request(move |_, _| Ok(answer.clone()))
        .connect(&bridge.url(Transport::Streamable))
        .unwrap();
    let error = refused(&mut client, "asks", "{}");
    assert!(error.contains("has not read") && error.contains("twice body_bytes_max"), "{error}");
    assert_eq!(call(&mut client, "keep", r#"{"text":"x"}"#), "kept");
}
