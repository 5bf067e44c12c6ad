// The form of a new job: what it comes to, shown while one types.
const form = document.getElementById("new");
// `form.dataset` would be the field of that name.
const lost = document.getElementById("lost");
const KEPT = "new job";
let waiting = 0;
let latest = 0;

// The form survives the end of a session and the loss of the connection: nothing is sent before the service has answered.
const ask = async () => {
  sessionStorage.setItem(KEPT, JSON.stringify([...new FormData(form)].filter(([name]) => name !== "csrf")));
  const response = await fetch(form.getAttribute("data-preview"), { method: "POST", body: new URLSearchParams(new FormData(form)) })
    .catch(() => null);
  const reason = !response ? "connection" : response.redirected || response.status === 403 ? "session" : response.ok ? "" : "service";
  for (const said of lost.children) said.hidden = said.dataset.reason !== reason;
  lost.hidden = !reason;
  return reason ? null : response.text();
};

const refresh = async () => {
  const mine = ++latest;
  const html = await ask();
  if (html === null || mine !== latest) return;
  const scratch = document.createElement("template");
  scratch.innerHTML = html;
  const preview = document.getElementById("preview");
  const fresh = scratch.content.getElementById("preview");
  preview.querySelectorAll("details").forEach((part, index) => { fresh.querySelectorAll("details")[index].open = part.open; });
  const [old, image] = [preview.querySelector("img"), fresh.querySelector("img")];
  if (old && image && old.getAttribute("src") === image.getAttribute("src")) image.replaceWith(old);
  fresh.querySelectorAll(".copy").forEach((button) => { button.hidden = !navigator.clipboard; });
  preview.replaceWith(fresh);
};

form.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(refresh, 350);
});
document.addEventListener("inspected", refresh);

let answered = false;
form.addEventListener("submit", async (event) => {
  if (answered) return;
  event.preventDefault();
  if (await ask() === null) return lost.scrollIntoView({ block: "nearest" });
  answered = true;
  form.requestSubmit(event.submitter);
});

// Back from signing in again: what was typed before is sent to be shown, under the new session.
const kept = sessionStorage.getItem(KEPT);
sessionStorage.removeItem(KEPT);
if (kept && new URLSearchParams(location.search).has("kept")) {
  const again = document.createElement("form");
  [again.method, again.action] = ["post", location.pathname];
  const fields = [...JSON.parse(kept).filter(([name]) => name !== "action"), ["csrf", document.body.dataset.csrf], ["action", "update"]];
  for (const [name, value] of fields) {
    const field = document.createElement("input");
    [field.type, field.name, field.value] = ["hidden", name, value];
    again.append(field);
  }
  document.body.append(again);
  again.submit();
}
document.getElementById("model").addEventListener("change", () => document.getElementById("update").click());
for (const button of form.querySelectorAll(".show")) button.hidden = true;
