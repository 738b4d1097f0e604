//! Lists and a resource that change while the server runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use mcp_rill::{Handle, ItemKind, Prompt, Resource, Result, Server, Tool};

const WATCHED: &str = "test://watched-resource";

/// What handlers need to change the server they belong to. The handle is there only once the server listens.
#[derive(Clone, Default)]
pub struct Changes {
    handle: Arc<OnceLock<Handle>>,
    versions: Arc<AtomicU64>,
    has_tool: Arc<AtomicBool>,
    has_prompt: Arc<AtomicBool>,
}

impl Changes {
    pub fn begin(&self, handle: Handle) {
        // There is one server, and this is called once.
        let _ = self.handle.set(handle);
    }

    fn handle(&self) -> Result<&Handle> {
        Ok(self.handle.get().ok_or("the server does not listen yet")?)
    }

    fn change_tools(&self) -> Result<&'static str> {
        let (handle, name) = (self.handle()?, "test_dynamic_tool");
        Ok(match self.has_tool.fetch_xor(true, Ordering::Relaxed) {
            false => {
                handle.offer(Tool::new(name, "A tool that comes and goes").handler(|(), _| "Here I am"))?;
                "Added a tool"
            }
            true => {
                handle.withdraw(ItemKind::Tool, name)?;
                "Removed a tool"
            }
        })
    }

    fn change_prompts(&self) -> Result<&'static str> {
        let (handle, name) = (self.handle()?, "test_dynamic_prompt");
        Ok(match self.has_prompt.fetch_xor(true, Ordering::Relaxed) {
            false => {
                handle
                    .offer(Prompt::new(name, "A prompt that comes and goes").handler(|(), _| "Here I am"))?;
                "Added a prompt"
            }
            true => {
                handle.withdraw(ItemKind::Prompt, name)?;
                "Removed a prompt"
            }
        })
    }

    fn update_resource(&self) -> Result<String> {
        let version = self.versions.fetch_add(1, Ordering::Relaxed) + 1;
        self.handle()?.resource_updated(WATCHED);
        Ok(format!("Version {version}"))
    }
}

pub fn add(server: Server, changes: &Changes) -> Server {
    let watched =
        Resource::new(WATCHED, "watched-resource").description("A text that changes").mime_type("text/plain");
    let (tools, prompts, updates, reads) =
        (changes.clone(), changes.clone(), changes.clone(), changes.clone());
    server
        .tool("test_trigger_tool_change", "Add a tool, or remove it", move |(), _| tools.change_tools())
        .tool("test_trigger_prompt_change", "Add a prompt, or remove it", move |(), _| {
            prompts.change_prompts()
        })
        .tool("test_update_watched_resource", "Change test://watched-resource", move |(), _| {
            updates.update_resource()
        })
        .offer(watched.handler(move |_| {
            format!("Watched resource, version {}", reads.versions.load(Ordering::Relaxed))
        }))
}
