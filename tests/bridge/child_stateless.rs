//! What the server behind a bridge does with requests of 2026-07-28.
//!
//! | mode | `initialize` | requests of 2026-07-28 |
//! |---|---|---|
//! | `stateless` | refused, with the revisions that it speaks | served |
//! | `both` | served | served |
//! | `strict` | served; it ends if anything comes before | refused |
//! | `deaf` | served | never answered |
//! | `slow` | served after a second | refused after a second |
//! | `late` | refused | served; `server/discover` only after `initialize` |
//! | any other | served | answered as any method that it does not know |

use std::process::exit;
use std::thread::sleep;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Child, Message, shout};

const REVISION: &str = "2026-07-28";
const PREFIX: &str = "io.modelcontextprotocol/";

fn of_meta<'a>(params: &'a Value, name: &str) -> &'a Value {
    &params["_meta"][format!("{PREFIX}{name}")]
}

impl Child {
    fn refuse(&mut self, id: &str, code: i64, data: &Value) {
        let error = json!({"code": code, "message": "refused by the process", "data": data});
        self.say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#));
    }

    /// Takes a message if the mode has a way of its own with it.
    pub(super) fn take_stateless(&mut self, mode: &str, message: &Message) -> bool {
        let method = message.method.as_deref().unwrap_or_default();
        let params: Value = message
            .params
            .map(|params| serde_json::from_str(params.get()).unwrap_or_default())
            .unwrap_or_default();
        let speaks = of_meta(&params, "protocolVersion") == REVISION;
        let id = message.id.map(RawValue::get);
        match (mode, method, id) {
            ("strict", method, _) if method != "initialize" && !self.kept.contains_key("begun") => {
                shout("initialize is expected first");
                exit(9)
            }
            ("strict" | "slow" | "deaf", "initialize", _) => {
                self.kept.insert("begun".into(), String::new());
                sleep(Duration::from_secs(u64::from(mode == "slow")));
                false
            }
            ("strict" | "slow", "server/discover", Some(id)) => {
                sleep(Duration::from_secs(u64::from(mode == "slow")));
                self.refuse(id, -32601, &Value::Null);
                true
            }
            ("deaf", "server/discover", _) => true,
            ("late", "server/discover", Some(id)) => {
                self.kept.insert("discover".into(), id.to_owned());
                true
            }
            ("late", "initialize", Some(id)) => {
                self.refuse(id, -32601, &Value::Null);
                if let Some(asked) = self.kept.get("discover").cloned() {
                    self.stateless.insert(asked.clone());
                    self.serve_stateless(&asked, "server/discover", &params);
                }
                true
            }
            ("stateless", "notifications/cancelled", _) | ("both", "notifications/cancelled", _) => {
                self.listens.remove(&params["requestId"].to_string());
                false
            }
            ("stateless", _, Some(id)) if !speaks && !method.is_empty() => {
                self.refuse(id, -32022, &json!({"supported": [REVISION], "requested": "?"}));
                true
            }
            // It is told nothing that its revision does not have.
            ("stateless", "notifications/initialized" | "notifications/roots/list_changed", _) => exit(8),
            ("stateless" | "both" | "late", _, Some(id)) if speaks => {
                self.stateless.insert(id.to_owned());
                self.serve_stateless(id, method, &params)
            }
            _ => false,
        }
    }

    fn serve_stateless(&mut self, id: &str, method: &str, params: &Value) -> bool {
        match method {
            "server/discover" => {
                let capabilities = json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}, "logging": {}, "x-own": 1});
                let info = json!({"name": "child", "version": "stateless"});
                let result = json!({"supportedVersions": [REVISION, "2027-01-01"], "capabilities": capabilities, "instructions": "hi",
                    "ttlMs": 7, "cacheScope": "public", "_meta": {format!("{PREFIX}serverInfo"): info}});
                self.answer(id, &result.to_string());
            }
            "initialize" | "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => {
                self.refuse(id, -32601, &Value::Null);
            }
            "subscriptions/listen" => {
                let filter = params["notifications"].clone();
                let asked = self.kept.entry("asked".into()).or_default();
                asked.push_str(&format!("listen{filter} "));
                self.listens.insert(id.to_owned(), filter.clone());
                self.tell_stream(
                    id,
                    "notifications/subscriptions/acknowledged",
                    json!({"notifications": filter}),
                );
            }
            "resources/read" if params["uri"] == "a:none" => {
                self.refuse(id, -32602, &json!({"uri": "a:none"}));
            }
            _ => {
                self.kept.insert("capabilities".into(), of_meta(params, "clientCapabilities").to_string());
                return false;
            }
        }
        true
    }

    fn tell_stream(&mut self, id: &str, method: &str, mut params: Value) {
        let number: Value = serde_json::from_str(id).unwrap();
        params["_meta"] = json!({format!("{PREFIX}subscriptionId"): number});
        self.tell(method, &params.to_string());
    }

    /// Tells the streams for which `wanted` is true of their filter.
    fn announce(&mut self, method: &str, params: &Value, wanted: impl Fn(&Value) -> bool) {
        let streams: Vec<_> = self.listens.iter().filter(|(_, filter)| wanted(filter)).collect();
        let streams: Vec<String> = streams.into_iter().map(|(id, _)| id.clone()).collect();
        streams.iter().for_each(|id| self.tell_stream(id, method, params.clone()));
    }

    /// Calls of tools that are others in this revision.
    pub(super) fn call_stateless(&mut self, id: &str, raw: &str) -> bool {
        let params: Value = serde_json::from_str(raw).unwrap();
        let arguments = &params["arguments"];
        match params["name"].as_str().unwrap() {
            // As often as `rounds` says.
            "ask" => {
                let rounds = arguments["rounds"].as_str().map_or(1, |rounds| rounds.parse().unwrap());
                let state = params["requestState"].as_str().unwrap_or("s-0");
                let round: usize = state.strip_prefix("s-").unwrap().parse().unwrap();
                let answer = &params["inputResponses"]["who"];
                if round == rounds && !answer.is_null() {
                    self.text(id, &format!("{state:?} {answer}"));
                    return true;
                }
                let method = arguments["method"].as_str().unwrap_or("elicitation/create");
                let params = Some(arguments["params"].clone()).filter(|params| !params.is_null());
                let params = params.unwrap_or(json!({"message": "who?"}));
                let asked = json!({"method": method, "params": params});
                let result = json!({"resultType": "input_required", "inputRequests": {"who": asked},
                    "requestState": format!("s-{}", round + 1)});
                self.say(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#));
            }
            "announce" => {
                self.announce("notifications/tools/list_changed", &json!({}), |filter| {
                    filter["toolsListChanged"] == true
                });
                self.text(id, "done");
            }
            "update" => {
                let uri = arguments["uri"].clone();
                let wanted = |filter: &Value| {
                    let uris = filter["resourceSubscriptions"].as_array().cloned().unwrap_or_default();
                    uris.iter().any(|own| uri.as_str().unwrap().starts_with(own.as_str().unwrap()))
                };
                self.announce("notifications/resources/updated", &json!({"uri": uri}), wanted);
                self.text(id, "done");
            }
            "log" => {
                let levels = ["debug", "info", "error"];
                let wanted = of_meta(&params, "logLevel")
                    .as_str()
                    .and_then(|level| levels.iter().position(|one| *one == level));
                for level in levels.iter().skip(wanted.unwrap_or(levels.len())) {
                    self.tell("notifications/message", &json!({"level": level, "data": level}).to_string());
                }
                self.text(id, "done");
            }
            _ => return false,
        }
        true
    }
}
