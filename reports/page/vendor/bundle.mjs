// Bundles entry.js and the two style sheets into ../templates, with the licences beside them.
import { readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const target = new URL("../templates/", import.meta.url).pathname;
const packages = ["tabulator-tables", "tom-select"];
const within = ["@orchidjs/sifter", "@orchidjs/unicode-variants"]; // what tom-select brings along
const facts = packages.map((name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8")));
const banner = `/* ${facts.map((each) => `${each.name} ${each.version} (${each.license})`).join(", ")}; see vendor.LICENSES.txt */`;
const common = { bundle: true, minify: true, legalComments: "none", target: "es2022" };

await build({ ...common, entryPoints: ["entry.js"], format: "iife", outfile: `${target}vendor.min.js`, banner: { js: banner } });
await build({ ...common, entryPoints: ["entry.css"], outfile: `${target}vendor.min.css`, banner: { css: banner } });
const licences = [...packages, ...within].map((name) => {
  const file = ["LICENSE", "LICENSE.md", "LICENSE.txt"].find((each) => {
    try { return readFileSync(`node_modules/${name}/${each}`, "utf8"); } catch { return false; }
  });
  if (file) return `${name}\n\n${readFileSync(`node_modules/${name}/${file}`, "utf8")}`;
  const {license} = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8"));
  return `${name}\n\n${license}, without a text of its own in its package: the text is tom-select's, above.\n`;
});
writeFileSync(`${target}vendor.LICENSES.txt`, licences.join("\n\n"));
