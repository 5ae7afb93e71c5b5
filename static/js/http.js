// Requests to our own server, with its one error shape.

import { say } from "./strings.js";

/** A refusal by the server, or its silence: `code` and `detail` as the server gave them, "network" without one. */
export class RequestError extends Error {
  constructor(code, detail, status) {
    super(detail);
    this.code = code;
    this.detail = detail;
    this.status = status;
  }
}

async function request(url, options) {
  let response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...options, headers: { "X-Partial": "1", ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestError("network", say("network"), 0);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  const detail = body.detail || say(response.status === 404 ? "gone" : "network");
  throw new RequestError(body.code || "unknown", detail, response.status);
}

/** POST a form's fields; the answer's JSON. Raises RequestError. */
export async function post(url, fields) {
  const token = document.querySelector('meta[name="csrf-token"]').content;
  const response = await request(url, { method: "POST", body: new URLSearchParams(fields), headers: { "X-CSRFToken": token } });
  return response.json();
}

/** POST a form with its own token; the fragment of a page that it answers with. Raises RequestError. */
export async function postForm(url, fields) {
  return (await request(url, { method: "POST", body: new URLSearchParams(fields) })).text();
}

/** GET JSON. Raises RequestError. */
export async function getJson(url) {
  return (await request(url, {})).json();
}

/** GET a fragment of a page, as text of our own templates. Raises RequestError, or AbortError by `signal`. */
export async function getFragment(url, signal) {
  return (await request(url, { signal })).text();
}
