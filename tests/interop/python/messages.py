"""Which definition of the official schemas judges which message, and what a client answers to the server's questions."""

import samples
import wire

RESULTS = {
    "initialize": "InitializeResult",
    "ping": "EmptyResult",
    "tools/list": "ListToolsResult",
    "tools/call": "CallToolResult",
    "resources/list": "ListResourcesResult",
    "resources/templates/list": "ListResourceTemplatesResult",
    "resources/read": "ReadResourceResult",
    "resources/subscribe": "EmptyResult",
    "resources/unsubscribe": "EmptyResult",
    "prompts/list": "ListPromptsResult",
    "prompts/get": "GetPromptResult",
    "completion/complete": "CompleteResult",
    "logging/setLevel": "EmptyResult",
}

SENT_BY_THE_SERVER = {
    "ping": "PingRequest",
    "sampling/createMessage": "CreateMessageRequest",
    "elicitation/create": "ElicitRequest",
    "roots/list": "ListRootsRequest",
    "notifications/cancelled": "CancelledNotification",
    "notifications/message": "LoggingMessageNotification",
    "notifications/progress": "ProgressNotification",
    "notifications/prompts/list_changed": "PromptListChangedNotification",
    "notifications/resources/list_changed": "ResourceListChangedNotification",
    "notifications/resources/updated": "ResourceUpdatedNotification",
    "notifications/tools/list_changed": "ToolListChangedNotification",
    "notifications/elicitation/complete": "ElicitationCompleteNotification",
}


def fitting_answer(question: dict) -> dict:
    match question["method"]:
        case "ping":
            return {}
        case "sampling/createMessage":
            return {"role": "assistant", "model": "none", "content": {"type": "text", "text": "sampled"}}
        case "elicitation/create" if question["params"].get("mode") == "url":
            return {"action": "accept"}
        case "elicitation/create":
            return {"action": "accept", "content": samples.arguments(question["params"]["requestedSchema"])}
        case "roots/list":
            return {"roots": [{"uri": "file:///sample"}]}
        case unknown:
            raise wire.WireError(f"the server asks {unknown}")
