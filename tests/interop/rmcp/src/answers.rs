//! What the client answers to the server's questions, and the progress that it was told.

use std::sync::Mutex;

use rmcp::model::{
    ClientConfig, CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams, ElicitResult,
    ElicitationAction, Implementation, ListRootsResult, ProgressNotificationParam, Role, Root,
    SamplingMessage, SamplingMessageContentBlock,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ClientHandler, ErrorData, RoleClient};
use serde_json::json;

#[derive(Default)]
pub(crate) struct Answers {
    progress: Mutex<Vec<f64>>,
    /// The methods of notifications that a list has changed.
    changes: Mutex<Vec<&'static str>>,
    /// It says that it can answer nothing.
    is_unable: bool,
}

impl Answers {
    pub(crate) fn unable() -> Answers {
        Answers { is_unable: true, ..Answers::default() }
    }

    /// Which lists have changed since this was asked last.
    pub(crate) fn take_changes(&self) -> Vec<&'static str> {
        self.changes.lock().map(|mut changes| std::mem::take(&mut *changes)).unwrap_or_default()
    }

    fn note_change(&self, list: &'static str) {
        if let Ok(mut changes) = self.changes.lock() {
            changes.push(list);
        }
    }

    /// What was told since this was asked last.
    pub(crate) fn take_progress(&self) -> Vec<f64> {
        self.progress.lock().map(|mut progress| std::mem::take(&mut *progress)).unwrap_or_default()
    }
}

impl ClientHandler for Answers {
    async fn create_message(
        &self,
        params: CreateMessageRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let asked = params.messages.first().and_then(|message| message.content.first()?.as_text());
        let heard = format!("heard {}", asked.map_or("nothing", |text| text.text.as_str()));
        let message = SamplingMessage::new(Role::Assistant, SamplingMessageContentBlock::text(heard));
        Ok(CreateMessageResult::new(message, "none".to_owned()))
    }

    async fn list_roots(&self, _context: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        Ok(ListRootsResult::new(vec![Root::new("file:///a")]))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::FormElicitationParams { message, .. } = request else {
            return Err(ErrorData::invalid_params("only forms can be shown", None));
        };
        if message.contains("host: \"not this one\"") {
            return Ok(ElicitResult::new(ElicitationAction::Decline));
        }
        let content = match message.as_str() {
            restart if restart.starts_with("Restart the router now?") => json!({}),
            "Who are you?" => json!({"username": "ada", "email": "ada@example.com"}),
            "Please confirm" => json!({"ok": true}),
            color if color.contains("color") => json!({"color": "green"}),
            _ => json!({"name": "Ada"}),
        };
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(content))
    }

    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        if let Ok(mut progress) = self.progress.lock() {
            progress.push(params.progress);
        }
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.note_change("tools");
    }

    async fn on_resource_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.note_change("resources");
    }

    async fn on_prompt_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.note_change("prompts");
    }

    fn get_info(&self) -> ClientConfig {
        let all = match self.is_unable {
            true => json!({}),
            false => json!({"roots": {}, "sampling": {}, "elicitation": {}}),
        };
        let capabilities = serde_json::from_value(all).unwrap_or_default();
        ClientConfig::new(capabilities, Implementation::new("rmcp", "3.9"))
    }
}
