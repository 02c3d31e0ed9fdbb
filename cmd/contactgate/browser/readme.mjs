// The picture of the README: step 1 on a phone, in the light and in the dark, from the folder of `make screenshots`.
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { launch } from "./chromium.mjs";

const [folder, picture] = process.argv.slice(2);
const image = (scheme) => `data:image/png;base64,${readFileSync(join(folder, `readme.en.${scheme}.390.png`)).toString("base64")}`;
const browser = await launch();
const page = await browser.newPage({ viewport: { width: 900, height: 700 } });
await page.setContent(`<!doctype html>
<style>
  body { margin: 0; display: flex; justify-content: center; gap: 40px; padding: 36px 0; background: #e4e9ec; width: 900px; }
  img { width: 390px; border-radius: 28px; box-shadow: 0 2px 4px #0002, 0 14px 40px #0003; outline: 1px solid #0002; }
</style>
<img src="${image("light")}" alt=""><img src="${image("dark")}" alt="">`);
await page.locator("img").last().evaluate((i) => i.decode());
mkdirSync(dirname(picture), { recursive: true });
await page.locator("body").screenshot({ path: picture });
await browser.close();
