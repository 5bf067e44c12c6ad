// Uploads: dropped or chosen, hashed in the browser where it can, sent with progress, skipped when the service has the file.
const { api, root, csrf } = document.body.dataset;
const PACKED = 2 ** 32 - 2 ** 20; // bytes that a zip without extensions holds
const HASHED = 512 * 2 ** 20; // bytes; larger files would not fit into memory, and are hashed by the service alone

const sha256 = async (file) => {
  if (!crypto.subtle || file.size > HASHED) return null;
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
};

const send = (method, url, file, request, progress) => new Promise((resolve, reject) => {
  request.open(method, url);
  request.setRequestHeader("X-CSRF-Token", csrf);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.responseType = "json";
  request.upload.addEventListener("progress", (event) => progress(event.loaded / event.total));
  request.addEventListener("load", () => {
    if (request.status < 300) resolve(request.response);
    else reject(new Error([request.response?.detail, request.response?.hint].filter(Boolean).join(" ") || `The service answered ${request.status}.`));
  });
  request.addEventListener("error", () => reject(new Error("The connection broke.")));
  request.addEventListener("abort", () => reject(new Error("Stopped.")));
  request.send(file);
});

const arrived = (box, asset) => {
  const { kind, then } = box.dataset;
  if (then === "open") return location.assign(`${root}/${kind}s/${asset.sha256}`);
  const choice = document.getElementById(kind);
  const option = [...choice.options].find((each) => each.value === asset.sha256) ?? choice.appendChild(new Option(asset.name, asset.sha256));
  option.disabled = false;
  choice.value = asset.sha256;
  document.getElementById("update").click();
};

// What was dropped as one file. Both files of an IR, and an ONNX file with those of its weights, become a zip.
const together = async (box, files) => {
  const [xml, bin, onnx] = [".xml", ".bin", ".onnx"].map((suffix) => files.find(({ name }) => name.toLowerCase().endsWith(suffix)));
  if (files.length === 1 && !xml && !bin) return files[0];
  const first = files.length === 2 && bin ? xml : onnx;
  if (!first || box.dataset.kind !== "model") throw new Error(xml || bin ? "Drop the .xml and the .bin of the IR together." : "Drop one file at a time.");
  const all = [first, ...files.filter((file) => file !== first)];
  if (all.reduce((sum, { size }) => sum + size, 0) > PACKED) throw new Error("Put the files into one zip, and drop that.");
  const { pack } = await import(box.dataset.pack);
  return pack(all, first.name.replace(/\w+$/, "zip"));
};

const take = async (box, files) => {
  const { kind } = box.dataset;
  const [sending, wrong] = [box.querySelector(".sending"), box.querySelector(".wrong")];
  const [told, bar, stop] = [sending.querySelector(".told"), sending.querySelector("progress"), sending.querySelector(".stop")];
  const request = new XMLHttpRequest();
  stop.onclick = () => request.abort();
  sending.hidden = false;
  wrong.hidden = true;
  bar.removeAttribute("value");
  const name = files.map((file) => file.name).join(", ");
  try {
    told.textContent = `Hashing ${name}`;
    const file = await together(box, files);
    const digest = await sha256(file);
    if (digest) {
      const known = await fetch(`${api}/${kind}s/${digest}`);
      if (known.ok) return arrived(box, await known.json());
    }
    const progress = (share) => {
      bar.value = share;
      told.textContent = share < 1 ? `${file.name}: ${Math.floor(100 * share)} %` : `${file.name}: checking`;
    };
    progress(0);
    const path = `${api}/${kind}s${digest ? `/${digest}` : ""}?name=${encodeURIComponent(file.name)}`;
    const asset = await send(digest ? "PUT" : "POST", path, file, request, progress);
    told.textContent = `${file.name}: sha256 ${asset.sha256.slice(0, 16)}…`;
    arrived(box, asset);
  } catch (error) {
    sending.hidden = true;
    wrong.hidden = false;
    wrong.textContent = `${name} was not uploaded. ${error.message}`;
  }
};

for (const box of document.querySelectorAll(".drop")) {
  const input = box.querySelector("input[type=file]");
  box.hidden = false;
  input.addEventListener("change", () => input.files.length && take(box, [...input.files]));
  box.addEventListener("dragover", (event) => { event.preventDefault(); box.classList.add("over"); });
  box.addEventListener("dragleave", () => box.classList.remove("over"));
  box.addEventListener("drop", (event) => {
    event.preventDefault();
    box.classList.remove("over");
    if (event.dataTransfer.files.length) take(box, [...event.dataTransfer.files]);
  });
}
