// The form of a new job: what it comes to, shown while one types.
const form = document.getElementById("new");
// `form.dataset` would be the field of that name.
let waiting = 0;
let latest = 0;

const refresh = async () => {
  const mine = ++latest;
  const response = await fetch(form.getAttribute("data-preview"), { method: "POST", body: new URLSearchParams(new FormData(form)) });
  if (!response.ok || mine !== latest) return;
  const scratch = document.createElement("template");
  scratch.innerHTML = await response.text();
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
document.getElementById("model").addEventListener("change", () => document.getElementById("update").click());
for (const button of form.querySelectorAll(".show")) button.hidden = true;
