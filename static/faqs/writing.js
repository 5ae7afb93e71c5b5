// While an FAQ is written: how its answer will look, and which FAQs ask much the same. Both are made by the server.

const PAUSE = 400;

/** Calls `ask(signal)` a moment after the last call; an older request that is still under way is dropped. */
function debounced(ask) {
  let timer = null;
  let request = null;
  return (pause = PAUSE) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      request?.abort();
      request = new AbortController();
      ask(request.signal);
    }, pause);
  };
}

function mount(root) {
  const form = root.closest("form");
  form.querySelector("fieldset")?.after(root); // beside what it shows
  const { answer, question, csrfmiddlewaretoken: token } = form.elements;
  const { broken } = root.querySelector("[data-strings]").dataset;

  const show = async (target, url, fields, signal) => {
    target.setAttribute("aria-busy", "true");
    try {
      const headers = { "X-CSRFToken": token.value };
      const response = await fetch(url, { method: "POST", headers, body: new URLSearchParams(fields), signal });
      if (!response.ok || response.redirected) throw new Error("refused");
      target.innerHTML = await response.text(); // made safe by the server
    } catch (error) {
      if (error.name === "AbortError") return;
      target.textContent = broken;
    }
    target.removeAttribute("aria-busy");
  };

  const preview = debounced((signal) => show(root.querySelector("[data-preview]"), root.dataset.previewUrl, { answer: answer.value }, signal));
  const similar = debounced((signal) => show(root.querySelector("[data-similar]"), root.dataset.similarUrl, { question: question.value, faq: root.dataset.faq }, signal));
  answer.addEventListener("input", () => preview());
  question.addEventListener("input", () => similar());
  if (answer.value) preview(0);
  if (question.value) similar(0);
}

for (const root of document.querySelectorAll("[data-faq-writing]")) mount(root);
