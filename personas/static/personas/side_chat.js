// The side chat of a persona's draft. The page keeps the turns; the server streams a reply as lines of JSON
// ({text}, then {html} or {error}, with {withdrawn} where what was shown must go) and stores nothing. Model text enters
// as textContent, HTML only as sanitised there.

export function mount(root) {
  const find = (name) => root.querySelector(`[data-${name}]`);
  const [log, status, form, text, send, stop] = ["log", "status", "composer", "text", "send", "stop"].map(find);
  const strings = find("strings").dataset;
  let turns = [];
  let running = null;

  const setRunning = (controller) => {
    running = controller;
    send.disabled = Boolean(controller);
    stop.hidden = !controller;
    log.setAttribute("aria-busy", String(Boolean(controller)));
  };

  const addTurn = (role, content) => {
    const turn = document.createElement("article");
    turn.className = `persona-turn persona-turn-${role}`;
    const who = document.createElement("strong");
    who.textContent = role === "user" ? strings.you : strings.name;
    const body = document.createElement("div");
    body.className = "persona-text";
    body.textContent = content;
    turn.append(who, body);
    log.append(turn);
    log.scrollTop = log.scrollHeight;
    return body;
  };

  const ask = async (question) => {
    const controller = new AbortController();
    setRunning(controller);
    status.textContent = strings.writing;
    addTurn("user", question);
    const messages = [...turns, { role: "user", content: question }];
    const body = addTurn("assistant", "");
    let reply = "";
    let said = "";
    try {
      for await (const event of readReply(root, messages, controller.signal)) {
        if (event.text) {
          reply += event.text;
          body.textContent = reply;
          log.scrollTop = log.scrollHeight;
        } else if (event.html !== undefined) {
          body.classList.remove("persona-text");
          body.innerHTML = event.html; // sanitised by the server
          showSources(body, event.sources);
        } else {
          said = event.error.detail;
          if (event.withdrawn) reply = "";
        }
      }
    } catch (error) {
      said = error.name === "AbortError" ? strings.stopped : error.refused ? strings.refused : strings.broken;
    }
    if (running !== controller) return; // started again meanwhile
    if (reply) {
      turns = [...messages, { role: "assistant", content: reply }];
    } else {
      // Nothing came: the question goes back to where it was written, to be sent again.
      body.closest("article").previousElementSibling.remove();
      body.closest("article").remove();
      text.value ||= question;
    }
    status.textContent = said;
    setRunning(null);
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const question = text.value.trim();
    if (!question || running) return;
    text.value = "";
    ask(question);
  });
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  stop.addEventListener("click", () => running?.abort());
  find("reset").addEventListener("click", () => {
    const before = running;
    setRunning(null);
    before?.abort();
    turns = [];
    log.replaceChildren();
    status.textContent = "";
    text.focus();
  });
  for (const button of root.querySelectorAll("[data-suggestion]")) {
    button.addEventListener("click", () => {
      if (!running) ask(button.textContent);
    });
  }
}

/** What the reply cites, below it. */
function showSources(body, sources) {
  if (sources.length === 0) return;
  const list = document.createElement("ol");
  list.className = "persona-sources";
  for (const { number, question } of sources) {
    const line = document.createElement("li");
    line.value = number;
    line.textContent = question;
    list.append(line);
  }
  body.after(list);
}

async function* readReply(root, messages, signal) {
  const response = await fetch(root.dataset.url, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "X-CSRFToken": root.querySelector("[name=csrfmiddlewaretoken]").value,
    },
    body: JSON.stringify({ messages }),
    signal,
  });
  if (!response.ok || response.redirected) throw Object.assign(new Error("refused"), { refused: true });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let ended = false;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const event = JSON.parse(line);
      ended = event.text === undefined;
      yield event;
    }
  }
  if (!ended) throw new Error("cut");
}

for (const root of document.querySelectorAll("[data-side-chat]")) mount(root);
