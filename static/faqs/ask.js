// The "ask it" box answers without leaving the page, and keeps the address in step.

function mount(form) {
  const answer = document.querySelector("[data-asked]");
  let request = null;
  const ask = async () => {
    request?.abort();
    request = new AbortController();
    const url = new URL(location.href);
    url.search = new URLSearchParams(new FormData(form)).toString();
    answer.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(url, { headers: { "X-Partial": "1" }, signal: request.signal });
      if (!response.ok || response.redirected) throw new Error("refused");
      answer.innerHTML = await response.text(); // our own template's, which escapes what people wrote
      history.replaceState(history.state, "", url);
    } catch (error) {
      if (error.name === "AbortError") return;
      form.submit(); // the page itself says what is wrong
    }
    answer.removeAttribute("aria-busy");
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  form.addEventListener("change", (event) => {
    if (form.elements.q.value.trim() && event.target !== form.elements.q) ask();
  });
}

for (const form of document.querySelectorAll("[data-faq-ask]")) mount(form);
