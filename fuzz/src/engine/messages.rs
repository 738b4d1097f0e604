//! What the clients of the script say.

/// `@` stands for the id. What has one is a request.
pub const MESSAGES: &[&str] = &[
    r#"{"jsonrpc":"2.0","id":@,"method":"ping"}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{},"roots":{},"sampling":{}},"clientInfo":{"name":"fuzz","version":"1"}}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"}}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/call","params":{"name":"later","_meta":{"progressToken":"t"}}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/call","params":{"name":"ask"}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/call","params":{"name":"big","arguments":{"bytes":1500},"_meta":{"progressToken":1}}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/call","params":{"name":"big","arguments":{"bytes":3000}}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":@}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/list"}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"resources/subscribe","params":{"uri":"fuzz:///a"}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"resources/read","params":{"uri":"fuzz:///t/x%20y"}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"resources/unsubscribe","params":{"uri":"fuzz:///a"}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"logging/setLevel","params":{"level":"debug"}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"prompts/get","params":{"name":"say","arguments":{"text":"x"}}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"no/such/method"}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"initialize","params":{"protocolVersion":"2024-11-05","capabilities":{},"clientInfo":{"name":"old","version":"1"}}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/call","params":{"name":"ask","arguments":{"again":true}}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"resources/subscribe","params":{"uri":"fuzz:///t/1"}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/call","params":{"name":"echo"}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/call","params":{"name":"both"}}"#,
    r#"{"jsonrpc":"2.0","id":@}"#,
    r#"[{"jsonrpc":"2.0","id":@,"method":"ping"}]"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"ping""#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/call","params":{"name":"leave"}}"#,
];

/// The `result` or `error` of an answer to a question.
pub const ANSWERS: &[&str] = &[
    r#""result":{"action":"accept","content":{"sure":true}}"#,
    r#""result":{"action":"decline"}"#,
    r#""error":{"code":-32601,"message":"no"}"#,
    r#""result":{"action":"accept","content":{"sure":7}}"#,
    r#""result":{"roots":[{"uri":"file:///x"}]}"#,
    r#""result":[]"#,
];

/// Messages as clients of revision 2026-07-28 send them, without a session.
pub const MODERN: &[&str] = &[
    r#"{"jsonrpc":"2.0","id":@,"method":"server/discover","params":{"_meta":{META}}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"},"_meta":{META}}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/call","params":{"name":"later","_meta":{"progressToken":"t",META}}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/call","params":{"name":"ask","_meta":{META}}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/call","params":{"name":"ask","inputResponses":{"sure0":{"action":"accept"}},"requestState":"STATE","_meta":{META}}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/list","params":{"_meta":{META}}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"resources/read","params":{"uri":"fuzz:///a","_meta":{META}}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"no/such/method","params":{"_meta":{META}}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":7}}}"#,
    r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":@,"_meta":{META}}}"#,
    r#"{"jsonrpc":"2.0","id":@,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["fuzz:///a"]},"_meta":{META}}}"#,
];

/// What `META` stands for; `STATE` is what the last result asked to be sent back.
pub const META: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"fuzz","version":"1"},"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}"#;
