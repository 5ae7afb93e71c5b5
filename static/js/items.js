// What the transcript shows: the branch as the server has it, with what was asked of it and is not answered yet. Pure.

/**
 * Items {key, message, entry?} from the shown messages and the outbox's entries for them. `message.status` is "sending"
 * for a question and "queued" for a reply that the server has not acknowledged.
 */
export function itemsToShow(messages, entries) {
  let items = messages.map((message) => ({ key: message.client_id || message.id, message }));
  for (const entry of entries) {
    const { command } = entry;
    if (items.some((item) => item.key === command.client_id)) continue;
    const at = items.findIndex((item) => item.message.id === (command.message ?? command.reply));
    if (command.type === "message.send") items = [...items, question(entry)];
    else if (at < 0) continue;
    else if (command.type === "message.edit") items = [...items.slice(0, at), question(entry)];
    else if (command.type === "reply.regenerate") items = [...items.slice(0, at), reply(entry)];
    else if (command.type === "reply.continue") items = [...items.slice(0, at), goingOn(items[at], entry)];
  }
  return items;
}

function question(entry) {
  const { client_id: key, text } = entry.command;
  return { key, entry, message: { id: "", role: "user", status: "sending", text, siblings: [], created_at: "" } };
}

function reply(entry) {
  const base = { id: "", role: "assistant", status: "queued", text: "", html: "", preview: "", blocks: [], tail: "" };
  return { key: entry.command.client_id, entry, message: { ...base, siblings: [], position: 0, created_at: "" } };
}

function goingOn(item, entry) {
  const { message } = item;
  return { ...item, entry, message: { ...message, status: "queued", position: 0, tail: message.text } };
}
