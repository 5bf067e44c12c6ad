// What every page does: stay live, tell times by the reader's clock, copy.
const said = document.getElementById("said");

// Parts of the page that the service sends anew; ticks and focus stay where they were.
const replace = ({ id, html }) => {
  const old = document.getElementById(id);
  if (!old) return;
  const scratch = document.createElement("template");
  scratch.innerHTML = html;
  const part = scratch.content.querySelector(`[id="${id}"]`);
  for (const tick of old.querySelectorAll("input:checked")) {
    const again = part.querySelector(`[id="${tick.id}"]`);
    if (again) again.checked = true;
  }
  const focused = old.contains(document.activeElement) ? [...focusable(old)].indexOf(document.activeElement) : -1;
  const scrolled = [...old.querySelectorAll(".scroll")].map((box) => box.scrollTop);
  const standing = (box) => box.querySelector(".badge")?.textContent;
  if (standing(old) !== standing(part) && part.querySelectorAll(".badge").length === 1) {
    said.textContent = `${part.querySelector("th a")?.textContent ?? ""} ${standing(part)}`;
  }
  old.replaceWith(part);
  part.querySelectorAll(".scroll").forEach((box, index) => { box.scrollTop = scrolled[index] ?? 0; });
  if (focused >= 0) focusable(part)[focused]?.focus();
  tellTimes(part);
};
const focusable = (box) => box.querySelectorAll("a, button, input, select, [tabindex]");

const append = ({ id, text }) => {
  const log = document.getElementById(id);
  const atEnd = log.scrollTop + log.clientHeight > log.scrollHeight - 30;
  log.append(text);
  if (atEnd) log.scrollTop = log.scrollHeight;
};

// Why nothing arrives any more: a browser tries again by itself unless the service has answered with something else.
const whyClosed = async () => {
  const answer = await fetch(location.href, { redirect: "manual" }).catch(() => null);
  return !answer ? "connection" : answer.type === "opaqueredirect" ? "session" : "service";
};
const tellLost = (reason) => {
  const notice = document.getElementById("offline");
  for (const part of notice.children) part.hidden = part.dataset.reason !== reason;
  notice.hidden = !reason;
};

for (const box of document.querySelectorAll("[data-live]")) {
  const source = new EventSource(box.dataset.live);
  source.addEventListener("error", async () => tellLost(source.readyState === EventSource.CLOSED ? await whyClosed() : "connection"));
  source.addEventListener("open", () => tellLost(""));
  source.addEventListener("replace", (event) => replace(JSON.parse(event.data)));
  source.addEventListener("append", (event) => append(JSON.parse(event.data)));
  source.addEventListener("done", () => { source.close(); document.dispatchEvent(new Event("inspected")); });
  source.addEventListener("reload", () => { source.close(); location.reload(); });
  addEventListener("pagehide", () => source.close());
}
for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;

const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const ago = (seconds) => {
  const [unit, length] = units.find(([, long]) => seconds >= long) ?? [];
  return unit ? relative.format(-Math.floor(seconds / length), unit) : "just now";
};
function tellTimes(box) {
  for (const time of box.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    time.title = moment.toLocaleString();
    time.textContent = ago((Date.now() - moment) / 1000);
  }
}
tellTimes(document);
setInterval(() => tellTimes(document), 30000);

// Which columns of the table are shown: the browser remembers.
const columns = document.getElementById("columns");
if (columns) {
  const table = document.querySelector("[data-hide]");
  const boxes = [...columns.querySelectorAll("input")];
  table.dataset.hide = localStorage.getItem("hidden columns") ?? table.dataset.hide;
  for (const box of boxes) box.checked = !table.dataset.hide.split(" ").includes(box.value);
  columns.addEventListener("change", () => {
    table.dataset.hide = boxes.filter((box) => !box.checked).map((box) => box.value).join(" ");
    localStorage.setItem("hidden columns", table.dataset.hide);
  });
  columns.hidden = false;
}

for (const button of document.querySelectorAll(".copy")) button.hidden = !navigator.clipboard;
document.addEventListener("click", async ({ target }) => {
  if (!target.matches(".copy")) return;
  await navigator.clipboard.writeText(document.getElementById(target.dataset.copy).textContent);
  said.textContent = "Copied";
  target.textContent = "Copied";
  setTimeout(() => { target.textContent = "Copy"; }, 1500);
});

// A link that signs in carries its key behind the #: browsers send that to nobody.
const login = document.getElementById("login");
if (login && location.hash.length > 1) {
  login.elements.key.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
  login.requestSubmit();
}
