// Sorting, filtering, and tips that also work by touch; without this script the page says the same.
document.documentElement.classList.add("js");

for (const table of document.querySelectorAll(".sortable")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  };
  headings.forEach((heading, column) => heading.firstElementChild?.addEventListener("click", () => {
    const numbers = typeof value(body.rows[0], column) === "number" && column > 0;
    const falling = heading.ariaSort ? heading.ariaSort === "ascending" : numbers;
    const order = (a, b) => a < b ? -1 : a > b ? 1 : 0;
    const rows = [...body.rows].sort((a, b) => (falling ? -1 : 1) * order(value(a, column), value(b, column)));
    headings.forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
    body.append(...rows);
  }));
}

for (const table of document.querySelectorAll(".filterable")) {
  const label = document.createElement("label");
  const words = document.createElement("input");
  words.type = "search";
  label.append("Show those with ", words);
  table.parentElement.before(label);
  words.addEventListener("input", () => {
    for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(words.value.toLowerCase());
  });
}

const tip = document.getElementById("tip");
const layer = (mark) => [
  ...document.querySelectorAll(`.hit[data-layer="${mark.dataset.layer}"]`),
  document.getElementById(`layer-${mark.dataset.layer}`),
];
const light = (mark, on) => mark.dataset.layer && layer(mark).forEach((part) => part.classList.toggle("lit", on));

for (const title of document.querySelectorAll("svg title")) {
  const mark = title.parentElement;
  const text = title.textContent;
  title.remove();
  mark.addEventListener("pointerenter", () => {
    tip.textContent = text;
    tip.hidden = false;
    light(mark, true);
  });
  mark.addEventListener("pointermove", (event) => {
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 10 : event.clientY + 18}px`;
  });
  mark.addEventListener("pointerleave", () => {
    tip.hidden = true;
    light(mark, false);
  });
  mark.addEventListener("click", () => {
    const row = mark.dataset.layer && document.getElementById(`layer-${mark.dataset.layer}`);
    if (row) row.scrollIntoView({ block: "nearest", behavior: "smooth" });
  });
}
