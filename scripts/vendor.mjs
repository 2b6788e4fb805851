// Copies the browser files we did not write from node_modules into the repository.
//
//   npm ci --ignore-scripts        once, to fetch the exact versions of package-lock.json
//   node scripts/vendor.mjs        write static/vendor, static/img/icons.svg, tests/e2e/vendor
//   node scripts/vendor.mjs --check    exit 1 if the committed files differ (used by CI)
//
// The result is committed, so running or testing TopicAssign never needs Node.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const CHECK = process.argv.includes("--check");

/** package, file inside it, target in the repository */
const FILES = [
  ["htmx.org", "dist/htmx.min.js", "static/vendor/htmx/htmx.min.js"],
  ["htmx.org", "LICENSE", "static/vendor/htmx/LICENSE"],
  ["lucide-static", "LICENSE", "static/vendor/lucide/LICENSE"],
  ["axe-core", "axe.min.js", "tests/e2e/vendor/axe.min.js"],
  ["axe-core", "LICENSE", "tests/e2e/vendor/axe.LICENSE"],
];

/** Icons of lucide that templates may name: {% icon "check" %}. Keep sorted. */
const ICONS = [
  "arrow-down", "arrow-left", "arrow-right", "arrow-up", "chart-bar", "check", "check-check", "chevron-down",
  "chevron-right", "chevron-up", "circle", "circle-alert", "circle-check", "circle-stop", "clock", "cloud-off",
  "copy", "download", "ellipsis", "ellipsis-vertical", "external-link", "eye", "file-down", "file-spreadsheet",
  "file-up", "filter", "focus", "folder", "folder-input", "grip-vertical", "history", "image-down", "info", "keyboard", "layers",
  "link", "list", "loader-circle", "lock", "log-out", "menu", "merge", "message-square-text", "monitor", "moon",
  "palette", "pencil", "plus", "refresh-cw", "rotate-ccw", "search", "settings", "settings-2", "shield",
  "skip-forward", "sparkles", "split", "star", "sun", "table", "tags", "target", "trash-2", "triangle-alert", "undo-2",
  "upload", "user", "user-plus", "users", "x",
];

const pending = new Map();

function fromPackage(name, file) {
  const path = join(ROOT, "node_modules", name, file);
  if (!existsSync(path)) {
    console.error(`${name}/${file} is missing: run "npm ci --ignore-scripts" first.`);
    process.exit(2);
  }
  return readFileSync(path);
}

function packageInfo(name) {
  return JSON.parse(fromPackage(name, "package.json").toString());
}

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** A source map that is not shipped makes Django's manifest storage fail: drop the reference. */
function withoutSourceMap(bytes) {
  return Buffer.from(bytes.toString().replace(/\n?\/\/# sourceMappingURL=.*\s*$/u, "\n"));
}

const manifest = { comment: "Written by scripts/vendor.mjs; do not edit.", packages: {}, files: {} };

for (const [name, file, target] of FILES) {
  const info = packageInfo(name);
  manifest.packages[name] = { version: info.version, license: info.license };
  let bytes = fromPackage(name, file);
  if (target.endsWith(".js")) bytes = withoutSourceMap(bytes);
  pending.set(target, bytes);
}

const symbols = [];
for (const icon of [...new Set(ICONS)].sort()) {
  const path = join(ROOT, "node_modules/lucide-static/icons", `${icon}.svg`);
  if (!existsSync(path)) {
    console.error(`lucide-static has no icon "${icon}".`);
    process.exit(2);
  }
  const inner = readFileSync(path, "utf8")
    .replace(/<!--.*?-->/gsu, "")
    .match(/<svg[^>]*>(.*)<\/svg>/su)[1]
    .replace(/\s+/gu, " ")
    .replace(/ ?\/>/gu, "/>")
    .replace(/> </gu, "><")
    .trim();
  symbols.push(`<symbol id="${icon}" viewBox="0 0 24 24">${inner}</symbol>`);
}
manifest.packages["lucide-static"].icons = symbols.length;
pending.set(
  "static/img/icons.svg",
  Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg">\n${symbols.join("\n")}\n</svg>\n`),
);

for (const [target, bytes] of pending) manifest.files[target] = sha256(bytes);
pending.set("static/vendor/manifest.json", Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));

let differences = 0;
for (const [target, bytes] of pending) {
  const path = join(ROOT, target);
  if (CHECK) {
    if (!existsSync(path) || !readFileSync(path).equals(bytes)) {
      console.error(`differs: ${target}`);
      differences += 1;
    }
  } else {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }
}
if (differences) {
  console.error(`${differences} file(s) differ: run "node scripts/vendor.mjs" and commit the result.`);
  process.exit(1);
}
console.log(`${CHECK ? "checked" : "wrote"} ${pending.size} files`);
