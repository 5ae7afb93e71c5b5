// What the server's events make of the client's state. Pure: no DOM, no network, no clock; a state is never changed
// in place, so that a view can tell by identity what is new. The events are described in conversations/events.py.
//
//   state        {conversations: {id: conversation}, followed: {id: true}, own: {client_id: true}}
//   conversation {info, revision, wanted, resyncing, order: [message id], messages: {id: message}, more, elsewhere}
//   message      MessageInfo and {position, wait, blocks: [{end, html}], tail, preview, detail}
//
// `revision` is the one that `order` shows, `wanted` the highest one heard of. `tail` is the text behind the last
// finished block. `preview` is an earlier state of a live reply, to show until its stream begins; as it may be cut
// anywhere and has no blocks, the stream itself is always taken from its start. `elsewhere` names replies of branches
// that are not shown.

import { codePoints, dropCodePoints } from "./text.js";

const LIVE = new Set(["queued", "streaming"]);
const ENDINGS = {
  "reply.completed": "completed",
  "reply.stopped": "stopped",
  "reply.interrupted": "interrupted",
  "reply.failed": "failed",
};

export function createState() {
  return { conversations: {}, followed: {}, own: {} };
}

/** True where `message` is a reply that waits or streams. */
export function isLive(message) {
  return message.role === "assistant" && LIVE.has(message.status);
}

/** The shown messages of a conversation, oldest first. */
export function shownMessages(state, id) {
  const held = state.conversations[id];
  return held ? held.order.map((key) => held.messages[key]) : [];
}

/** The shown reply that waits or streams, or undefined. */
export function liveReply(state, id) {
  return shownMessages(state, id).findLast(isLive);
}

/**
 * The state after `event`, and the commands that the client should send for it: `{state, commands}`.
 *
 * Beside the server's events there are the client's own: `local.follow` and `local.unfollow {conversation}`,
 * `local.sent {client_id}`, `local.earlier {conversation, messages, more}`, and
 * `local.feedback {conversation, message, value, comment}`. An unknown event changes nothing.
 */
export function reduce(state, event) {
  const handler = HANDLERS[event.type];
  if (handler) return handler(state, event);
  return event.type in ENDINGS ? onReply(state, event, ended) : same(state);
}

const HANDLERS = {
  ready: onReady,
  "message.accepted": onAccepted,
  "conversation.snapshot": onConversationSnapshot,
  "conversation.updated": onConversationUpdated,
  "conversations.cleared": onReady, // what is followed may be gone: its follow tells
  "reply.queued": (state, event) => onReply(state, event, queued),
  "reply.started": (state, event) => onReply(state, event, started),
  "reply.snapshot": (state, event) => onReply(state, event, replaced),
  "reply.delta": (state, event) => onReply(state, event, continued),
  "reply.citations": (state, event) => onReply(state, event, cited),
  "local.follow": onFollow,
  "local.unfollow": onUnfollow,
  "local.sent": onSent,
  "local.earlier": onEarlier,
  "local.feedback": onFeedback,
};

// --- the connection and what is followed ------------------------------------------------------------------------------

function onReady(state) {
  const ids = Object.keys(state.followed);
  return ids.reduce((result, id) => join(result, follow(result.state, id)), same(state));
}

function onFollow(state, { conversation }) {
  return follow({ ...state, followed: { ...state.followed, [conversation]: true } }, conversation);
}

function onUnfollow(state, { conversation }) {
  if (!state.followed[conversation]) return same(state);
  const followed = { ...state.followed };
  const conversations = { ...state.conversations };
  delete followed[conversation];
  delete conversations[conversation]; // what is no longer followed would grow stale
  return { state: { ...state, followed, conversations }, commands: [{ type: "conversation.unfollow", conversation }] };
}

function onSent(state, event) {
  return same({ ...state, own: { ...state.own, [event.client_id]: true } });
}

/** Ask for the conversation as it stands, saying how much of its live replies is held. */
function follow(state, id) {
  const held = state.conversations[id];
  const cursors = {};
  for (const message of shownMessages(state, id)) {
    if (isLive(message)) cursors[message.id] = [message.epoch, message.seq];
  }
  const command = { type: "conversation.follow", conversation: id, cursors };
  const next = held ? withConversation(state, id, { ...held, resyncing: true }) : state;
  return { state: next, commands: [command] };
}

// --- a conversation and its messages ----------------------------------------------------------------------------------

function onConversationSnapshot(state, { conversation: info, messages, more }) {
  if (!state.followed[info.id]) return same(state);
  const held = state.conversations[info.id] ?? emptyConversation(info);
  const older = stillOlder(held, messages[0]);
  const kept = {};
  for (const id of older) kept[id] = held.messages[id];
  for (const message of messages) kept[message.id] = merged(held.messages[message.id], message);
  const next = {
    ...held,
    info: newer(held.info, info),
    revision: info.revision,
    wanted: Math.max(held.wanted, info.revision),
    resyncing: false,
    order: [...older, ...messages.map((message) => message.id)],
    messages: kept,
    more: older.length > 0 ? held.more : more,
    elsewhere: {},
  };
  const after = withConversation(state, info.id, next);
  return next.wanted > info.revision ? follow(after, info.id) : same(after);
}

/** The held messages before `first` that a snapshot, which has only the newest, leaves out but does not contradict. */
function stillOlder(held, first) {
  const at = first ? held.order.indexOf(first.id) : -1;
  return at > 0 && held.order[at - 1] === first.parent ? held.order.slice(0, at) : [];
}

/** A message as a snapshot shows it, with what is held of a live reply where that is further. */
function merged(held, info) {
  if (!held || held.role !== "assistant") return fresh(info);
  if (info.epoch < held.epoch) return about(held, info);
  // Within one epoch, what streams is further than what was read; and nothing streams again after its end.
  if (info.epoch === held.epoch && info.status === "streaming") return about(held, info);
  const { position, wait, detail } = info.status === held.status ? held : fresh(info);
  return { ...fresh(info), position, wait, detail };
}

/** `held` with those fields of `info` that do not belong to the stream. */
function about(held, info) {
  const { siblings, feedback, feedback_comment } = info;
  return { ...held, siblings, feedback, feedback_comment };
}

function fresh(info) {
  const base = { ...info, position: 0, wait: null, blocks: [], tail: info.text, preview: "", detail: "" };
  return info.status === "streaming" ? { ...base, text: "", seq: 0, tail: "", preview: info.text } : base;
}

function onConversationUpdated(state, { conversation: info, client_id: clientId }) {
  const held = state.conversations[info.id];
  const isOwn = clientId && state.own[clientId];
  // The first snapshot is under way and may have been read before this: ask again.
  if (!held) return state.followed[info.id] && !isOwn && !info.deleted ? follow(state, info.id) : same(state);
  const informed = { ...held, info: newer(held.info, info) };
  if (info.deleted) return same(withConversation(state, info.id, informed));
  // Its own command is answered by message.accepted, which brings the messages; whatever else is new must be asked for.
  if (isOwn || info.revision <= held.revision) return same(withConversation(state, info.id, informed));
  informed.wanted = Math.max(held.wanted, info.revision);
  const next = withConversation(state, info.id, informed);
  return held.resyncing || !state.followed[info.id] ? same(next) : follow(next, info.id);
}

function onAccepted(state, { conversation: info, message, reply, client_id: clientId, again }) {
  if (!state.followed[info.id]) return same(state);
  // Stored long ago, perhaps: what has become of the conversation since is asked for, not guessed.
  if (again) return onConversationUpdated(state, { conversation: info, client_id: "" });
  const held = state.conversations[info.id] ?? { ...emptyConversation(info), revision: info.revision - 1 };
  const next = { ...held, info: newer(held.info, info), messages: { ...held.messages } };
  const isNew = info.revision > held.revision;
  const isShown = held.order.includes(reply.id);
  if (isNew) next.order = branch(held.order, message, reply, clientId);
  if (!next.order) return follow(withConversation(state, info.id, { ...next, order: held.order }), info.id);
  if (isNew || isShown) {
    for (const each of [message, reply]) {
      const siblings = siblingsOf(held, next.order, each);
      next.messages[each.id] = merged(held.messages[each.id], { ...each, siblings });
    }
  }
  next.revision = Math.max(held.revision, Math.min(info.revision, held.revision + 1));
  next.wanted = Math.max(held.wanted, info.revision);
  const after = withConversation(state, info.id, prune(next));
  return info.revision > held.revision + 1 ? follow(after, info.id) : same(after);
}

/**
 * `order` up to where `message` belongs, then it and its reply; null where it belongs nowhere that is shown, or is an
 * earlier question (its command carries another name than it) of a branch that is not, whose replies are not known.
 */
function branch(order, message, reply, clientId) {
  let end = order.indexOf(message.id);
  if (end < 0) {
    if (message.client_id !== clientId) return null;
    end = message.parent === null ? 0 : order.indexOf(message.parent) + 1;
    if (end === 0 && message.parent !== null) return null;
  }
  return [...order.slice(0, end), message.id, reply.id];
}

/** The branches at `info`: known already, or those of the message that stood in its place, and itself. */
function siblingsOf(held, order, info) {
  if (info.siblings.length > 1) return info.siblings;
  if (held.messages[info.id]) return held.messages[info.id].siblings;
  const before = held.messages[held.order[order.indexOf(info.id)]];
  if (!before || before.parent !== info.parent) return [info.id];
  return before.siblings.includes(info.id) ? before.siblings : [...before.siblings, info.id];
}

/** Without the messages that are no longer shown. */
function prune(conversation) {
  const messages = {};
  for (const id of conversation.order) messages[id] = conversation.messages[id];
  return { ...conversation, messages };
}

function onEarlier(state, { conversation, messages, more }) {
  const held = state.conversations[conversation];
  const first = held?.messages[held.order[0]];
  const last = messages.at(-1);
  if (!first || !last || first.parent !== last.id) return same(state);
  const all = { ...held.messages };
  for (const message of messages) all[message.id] = fresh(message);
  const order = [...messages.map((message) => message.id), ...held.order];
  return same(withConversation(state, conversation, { ...held, order, messages: all, more }));
}

function onFeedback(state, { conversation, message, value, comment }) {
  const held = state.conversations[conversation]?.messages[message];
  if (!held) return same(state);
  return same(withMessage(state, conversation, { ...held, feedback: value, feedback_comment: comment }));
}

// --- a reply ------------------------------------------------------------------------------------------------------------

const RESYNC = Symbol("the event does not join on to what is held");

/** Let `change(message, event)` make the reply's next state; it may answer RESYNC, or the message as it is. */
function onReply(state, event, change) {
  const held = state.conversations[event.conversation];
  if (!held || !state.followed[event.conversation]) return same(state);
  const message = held.messages[event.reply];
  if (!message) return onUnknownReply(state, held, event);
  if (event.epoch < message.epoch) return same(state);
  const next = change(message, event);
  if (next === RESYNC) return held.resyncing ? same(state) : follow(state, event.conversation);
  return next === message ? same(state) : same(withMessage(state, event.conversation, next));
}

/** A reply that is not shown is asked for once; where that does not bring it, it is of another branch. */
function onUnknownReply(state, held, event) {
  if (held.elsewhere[event.reply]) return same(state);
  const elsewhere = { ...held.elsewhere, [event.reply]: true };
  const next = withConversation(state, event.conversation, { ...held, elsewhere });
  const result = held.resyncing ? same(next) : follow(next, event.conversation);
  return { ...result, state: withElsewhere(result.state, event.conversation, elsewhere) };
}

function queued(message, event) {
  const isPast = !isLive(message) || message.seq > event.seq; // it has streamed on since
  if (isPast) return event.epoch === message.epoch ? message : RESYNC;
  return { ...at(message, event), status: "queued", position: event.position, wait: event.wait };
}

function started(message, event) {
  if (event.epoch === message.epoch && (!isLive(message) || event.seq < message.seq)) return message;
  const model = event.model || message.model;
  if (event.seq === 0) return { ...withText(message, event, ""), model };
  if (event.seq !== message.seq) return RESYNC;
  const tail = isLive(message) ? message.tail : message.text;
  return { ...message, status: "streaming", epoch: event.epoch, position: 0, tail, model };
}

function replaced(message, event) {
  const isOver = event.epoch === message.epoch && !isLive(message);
  return isOver ? message : withText(message, event, event.text);
}

function continued(message, event) {
  if (event.epoch !== message.epoch) return RESYNC;
  if (!isLive(message)) return message;
  const known = message.seq - (event.seq - codePoints(event.text));
  if (known < 0) return RESYNC;
  const added = dropCodePoints(event.text, known);
  const end = message.blocks.at(-1)?.end ?? 0;
  const blocks = (event.blocks ?? []).filter((block) => block.end > end);
  if (!added && blocks.length === 0) return message; // seen before
  const seq = Math.max(event.seq, message.seq);
  const base = { ...message, status: "streaming", position: 0, seq, text: message.text + added };
  return { ...base, ...cut(message, message.tail + added, blocks) };
}

function cited(message, event) {
  return event.epoch === message.epoch ? { ...message, citations: event.citations } : message;
}

function ended(message, event) {
  const { epoch, seq, text, html, code, detail } = event;
  const status = ENDINGS[event.type];
  const { finish_reason = "", source = "", citations = [], offers = [], cached_at = null } = event;
  const end = { status, epoch, seq, text, html, code, detail, finish_reason, source, citations, offers, cached_at };
  return { ...message, ...end, position: 0, blocks: [], tail: "", preview: "" };
}

function at(message, { epoch }) {
  return epoch === message.epoch ? message : { ...message, epoch };
}

function withText(message, event, text) {
  const { epoch, seq } = event;
  const base = { ...message, status: "streaming", position: 0, epoch, seq, text, html: "" };
  // An earlier state is shown for as long as it is the longer one.
  const preview = text ? "" : message.preview;
  return { ...base, preview, ...cut({ blocks: [] }, text, event.blocks ?? []) };
}

/** The finished blocks with `added` to them, and what remains of `tail` behind the last one. */
function cut({ blocks }, tail, added) {
  if (added.length === 0) return { blocks, tail };
  const before = blocks.at(-1)?.end ?? 0;
  return { blocks: [...blocks, ...added], tail: dropCodePoints(tail, added.at(-1).end - before) };
}

// --- parts --------------------------------------------------------------------------------------------------------------

function same(state) {
  return { state, commands: [] };
}

function join(first, second) {
  return { state: second.state, commands: [...first.commands, ...second.commands] };
}

function newer(held, info) {
  return info.revision >= held.revision ? info : held;
}

function emptyConversation(info) {
  return { info, revision: 0, wanted: 0, resyncing: false, order: [], messages: {}, more: false, elsewhere: {} };
}

function withConversation(state, id, conversation) {
  return { ...state, conversations: { ...state.conversations, [id]: conversation } };
}

function withElsewhere(state, id, elsewhere) {
  return withConversation(state, id, { ...state.conversations[id], elsewhere });
}

function withMessage(state, id, message) {
  const held = state.conversations[id];
  return withConversation(state, id, { ...held, messages: { ...held.messages, [message.id]: message } });
}
