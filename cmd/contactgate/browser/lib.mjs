// What every script here shares: the browser, people in it, their mail, and a strict look at a page.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import axe from "axe-core";
import { launch } from "./chromium.mjs";

/** What ../browser_test.go started: the addresses of the sites, of the control, and where screenshots go. */
export const stage = JSON.parse(process.env.STAGE);
export const prefix = "/.contactgate";
export const locales = { en: "en-GB", ja: "ja-JP", ar: "ar-EG" };

const browser = await launch(`--ignore-certificate-errors-spki-list=${stage.trusted ?? ""}`);
after(async () => {
  await browser.close();
});

/** Somebody with a browser of their own, signed in. `address` null: the sign-in names none. */
export async function person(user, { site = "app", address = `${user}@example.com`, phone = "", lang = "en", js = true, width = 390, height = 780 } = {}) {
  const context = await browser.newContext({
    javaScriptEnabled: js,
    locale: locales[lang] ?? lang,
    viewport: { width, height },
    hasTouch: true,
    timezoneId: "Asia/Tokyo",
  });
  context.setDefaultTimeout(20_000);
  const faults = [];
  const somebody = { context, user, address, phone, site, origin: stage[site], faults, mails: 0 };
  context.on("page", (page) => watch(page, faults));
  context.on("request", (request) => {
    // Our own forms must say where they come from: with "Origin: null" they would be refused.
    if (request.method() === "POST" && request.headers().origin === "null") faults.push(`Origin: null with ${request.url()}`);
  });
  await signIn(somebody, address);
  somebody.page = await context.newPage();
  return somebody;
}

/** Signs somebody in: the sign-in knows them by a cookie, and says who they are and at which address. */
export async function signIn(somebody, address, user = somebody.user) {
  const session = `session-of-${user}`;
  await control(`/sign-in?${new URLSearchParams({ as: session, user, email: address ?? "", phone: somebody.phone })}`);
  await somebody.context.addCookies([{ name: "sess", value: session, domain: new URL(somebody.origin).hostname, path: "/", secure: true }]);
  somebody.address = address;
}

function watch(page, faults) {
  page.on("console", (message) => {
    const text = message.text();
    // Chromium says this of every answer from 400 on, and of ours too.
    if (message.type() === "error" && !text.startsWith("Failed to load resource")) faults.push(`console: ${text}`);
  });
  page.on("pageerror", (error) => faults.push(`script: ${error}`));
}

/** Ends a person's visit: nothing may have been complained of on the way. */
export async function leave(somebody) {
  await somebody.context.close();
  assert.deepEqual(somebody.faults, []);
}

/** Runs a visit from beginning to end. */
export async function visit(user, options, steps) {
  const somebody = await person(user, options);
  try {
    await steps(somebody, somebody.page);
  } catch (error) {
    error.message += `\n  at ${somebody.page.url()}, titled “${await somebody.page.title().catch(() => "?")}”\n  ${somebody.faults.join("\n  ")}`;
    await somebody.context.close();
    throw error;
  }
  await leave(somebody);
}

/** Asks ../browser_test.go for something. */
export async function control(path) {
  const answer = await fetch(stage.control + path);
  assert.equal(answer.status, 200, path);
  const text = await answer.text();
  return text && JSON.parse(text);
}

/** The nth mail to an address; it is waited for. */
export async function mail(to, n = 1) {
  const list = await control(`/mails?to=${encodeURIComponent(to)}&n=${n}`);
  assert.ok(list.length >= n, `mail ${n} to ${to} did not arrive`);
  return list[n - 1];
}

/** The code of the latest text ("sms") or call ("voice") to a number; it is waited for. */
export async function phoneCode(channel, to) {
  const list = await control(`/phones?${new URLSearchParams({ channel, to })}`);
  assert.ok(list.length > 0, `no ${channel} to ${to} arrived`);
  return list.at(-1).Code;
}

export const own = (somebody, name) => `${somebody.origin}${prefix}/${name}`;
/** A form by where it posts to, on whatever page. */
export const form = (page, action) => page.locator(`form[action="${prefix}/${action}"]`);
export const press = (page, action) => form(page, action).locator("button").first().click();

/** Does what leads to another document, and gives the last answer of the chain once that document is there. */
export async function go(page, act) {
  const [answer] = await Promise.all([page.waitForNavigation(), act()]);
  return answer;
}

/** From wherever to the page for the code of the first contact on file. */
export async function askForCode(somebody, page = somebody.page) {
  await go(page, () => press(page, "verify/send"));
  await page.fill("#proof", somebody.address);
  await go(page, () => press(page, "verify/send"));
  await expectPath(page, `${prefix}/verify/code`);
}

/** Confirms the address that the sign-in names. */
export async function confirm(me, page = me.page) {
  await page.goto(me.origin + "/inbox");
  if (new URL(page.url()).pathname === "/inbox") await page.goto(own(me, "verify"));
  const before = (await control(`/mails?to=${encodeURIComponent(me.address)}&n=0`)).length;
  await askForCode(me, page);
  await page.fill("#code", (await mail(me.address, before + 1)).Code);
  await go(page, () => press(page, "verify/code"));
  return before + 1;
}

/** Somebody who found a session of theirs open adds an address; the link of the mail that tells them of it. */
export async function intrude(me, told, options = {}) {
  const thief = await person(me.user, { site: me.site, address: me.address, ...options });
  await thief.page.goto(own(thief, "contacts/new"));
  const added = `thief.of.${me.user}@elsewhere.example`;
  await thief.page.fill("#address", added);
  await go(thief.page, () => press(thief.page, "contacts/new"));
  await thief.page.fill("#code", (await mail(added)).Code);
  await go(thief.page, () => press(thief.page, "verify/code"));
  const { Text: text } = await mail(me.address, told + 1);
  const link = text.match(/^https:\/\/\S+\/notice\/\S+$/m);
  assert.ok(link, text);
  return { thief, link: link[0] };
}

/** A browser in which nobody is signed in. */
export async function stranger(lang, js = true) {
  const somebody = await person(`stranger-${lang}-${js}-${Math.random().toString(36).slice(2)}`, { lang, js, width: 320 });
  await somebody.context.clearCookies();
  return somebody;
}

export async function expectPath(page, path) {
  const url = new URL(page.url());
  assert.equal(url.pathname, path);
}

export function spaced(code) {
  return `${code.slice(0, 3)} ${code.slice(3)}`;
}

/** What an app makes of the key (RFC 6238). */
export function appCode(key, step) {
  const bits = [...key].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const secret = Buffer.from(bits.match(/.{8}/g).map((b) => Number.parseInt(b, 2)));
  const count = Buffer.alloc(8);
  count.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + step));
  const hash = createHmac("sha1", secret).update(count).digest();
  const word = hash.readUInt32BE(hash[19] & 15) & 0x7fffffff;
  return String(word % 1_000_000).padStart(6, "0");
}

/** Focus must be on the summary of what is wrong, and the title must say so first. */
export async function expectError(page, lang = "en") {
  const word = { en: "Error: ", ja: "エラー: ", ar: "خطأ: " }[lang];
  const title = await page.title();
  assert.ok(title.startsWith(word), `title “${title}”`);
  const focused = () => page.evaluate(() => document.activeElement?.id);
  // Chromium gives the focus when it first paints, which may be after the page has loaded.
  for (let i = 0; i < 100 && await focused() !== "problem"; i++) await sleep(50);
  assert.equal(await focused(), "problem", "the summary has the focus");
}

/** What a page holds once it stands still. */
export async function content(page) {
  for (let i = 0; ; i++) {
    await page.waitForLoadState();
    try {
      return await page.content();
    } catch (error) {
      if (i === 100 || !/navigating/.test(error.message)) throw error;
      await sleep(50);
    }
  }
}

/** Tabs on until the wanted thing has the focus; everything on the way must show it. */
export async function tabTo(page, selector) {
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press("Tab");
    const there = await page.evaluate((wanted) => {
      const e = document.activeElement;
      const style = getComputedStyle(e);
      return {
        found: e.matches(wanted),
        seen: e === document.body || style.outlineStyle !== "none" && Number.parseFloat(style.outlineWidth) >= 2,
        name: e.outerHTML.slice(0, 120),
      };
    }, selector);
    assert.ok(there.seen, `the focus cannot be seen on ${there.name}`);
    if (there.found) return;
  }
  assert.fail(`no way to ${selector} by keyboard`);
}

/** The page of a language on which one thing after the other is hung. */
export async function wall(lang) {
  walls[lang] ??= (async () => {
    const context = await browser.newContext({ locale: locales[lang], viewport: { width: 320, height: 640 }, reducedMotion: "reduce" });
    return context.newPage();
  })();
  return walls[lang];
}
const walls = {};

/** Two ways to use a page. Each finds things on its own: nothing but keys, or clicks where no script runs. */
export const hands = {
  "by keyboard alone": {
    js: true,
    press: async (page, selector) => {
      await tabTo(page, selector);
      return go(page, () => page.keyboard.press("Enter"));
    },
    write: async (page, selector, text) => {
      await tabTo(page, selector);
      await page.keyboard.press("ControlOrMeta+a");
      await page.keyboard.type(text);
    },
    /** One of a group of choices: the group takes one stop, and the arrows go from one to the next. */
    pick: async (page, name, value) => {
      await tabTo(page, `input[name=${name}]`);
      await page.keyboard.press("Space");
      for (let i = 0; i < 20 && !await page.isChecked(`input[name=${name}][value=${value}]`); i++) await page.keyboard.press("ArrowDown");
      assert.ok(await page.isChecked(`input[name=${name}][value=${value}]`), `no way to ${value} by keyboard`);
    },
    /** From a list, by the beginning of its words. */
    choose: async (page, selector, words) => {
      await tabTo(page, selector);
      await page.keyboard.type(words);
    },
    open: async (page, selector) => {
      await tabTo(page, selector);
      await page.keyboard.press("Space");
    },
  },
  "without JavaScript": {
    js: false,
    press: (page, selector) => go(page, () => page.locator(selector).first().click()),
    write: (page, selector, text) => page.fill(selector, text),
    pick: (page, name, value) => page.check(`input[name=${name}][value=${value}]`),
    choose: async (page, selector, words) => {
      const option = page.locator(`${selector} option`, { hasText: words });
      await page.selectOption(selector, await option.getAttribute("value"));
    },
    open: (page, selector) => page.locator(selector).first().click(),
  },
};

const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** What axe has to say of a page as it stands. */
async function violations(page, runOnly) {
  if (!await page.evaluate(() => "axe" in window)) await page.evaluate(axe.source);
  const found = await page.evaluate((runOnly) => window.axe.run(document, { runOnly, resultTypes: ["violations"] }), runOnly);
  return found.violations.map((v) => `${v.id} – ${v.help}: ${v.nodes.map((n) => `${n.html} ${n.failureSummary}`).join(" | ")}`);
}

/** A strict look at a page as it stands: by the rules of WCAG, and on a small phone. */
export async function look(page, name, lang, { rules = true } = {}) {
  const size = page.viewportSize();
  await page.setViewportSize({ width: 320, height: 640 });
  const complaints = [...rules ? await violations(page, tags) : [], ...await fits(page)];
  await page.setViewportSize(size);
  assert.equal(await page.locator("html").getAttribute("lang"), lang, `${name}: language`);
  assert.equal(await page.locator("h1").count(), 1, `${name}: headings`);
  assert.deepEqual(complaints, [], `${name}, ${lang}`);
}

/** The same in the dark, where only the colours are others. */
export async function lookInTheDark(page, name) {
  await page.emulateMedia({ colorScheme: "dark" });
  assert.deepEqual(await violations(page, ["color-contrast"]), [], `${name} in the dark`);
}

/** Nothing may stick out of 320 px, be cut off, or be too small for a thumb; not with wide text spacing either (WCAG 1.4.12). */
export async function fits(page) {
  return page.evaluate(() => {
    const complaints = [];
    const visible = (e) => e.checkVisibility() && e.getClientRects().length > 0 && !e.closest(".unseen");
    const describe = (e) => `<${e.localName} class="${e.className}"> ${e.textContent.trim().slice(0, 40)}`;
    const measure = (when) => {
      const width = document.scrollingElement.scrollWidth;
      if (width > 320) complaints.push(`${when}: the page is ${width} px wide`);
      for (const e of document.querySelectorAll("body *")) {
        if (!visible(e) || e.closest("svg") && e.localName !== "svg") continue;
        const box = e.getBoundingClientRect();
        if (box.right > 320.5 || box.left < -0.5) complaints.push(`${when}: ${describe(e)} reaches from ${box.left} to ${box.right}`);
        if (!["input", "svg"].includes(e.localName) && (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0 || e.scrollHeight > e.clientHeight + 4 && e.clientHeight > 0) && getComputedStyle(e).overflow !== "visible") {
          complaints.push(`${when}: ${describe(e)} is cut`);
        }
      }
      for (const e of document.querySelectorAll("button, .button, nav a, select, input:not([type=hidden])")) {
        // A choice is as large as the words around it.
        const box = (e.closest("label") ?? e).getBoundingClientRect();
        if (visible(e) && (box.height < 43.5 || box.width < 43.5)) complaints.push(`${when}: ${describe(e)} is ${box.width} × ${box.height}`);
      }
    };
    measure("as it is");
    const wide = new CSSStyleSheet();
    wide.replaceSync("* { letter-spacing: 0.12em !important; word-spacing: 0.16em !important; line-height: 1.5 !important } p { margin-block-end: 2em !important }");
    document.adoptedStyleSheets = [wide];
    measure("with wide text spacing");
    document.adoptedStyleSheets = [];
    return complaints;
  });
}

export async function shoot(page, name, lang, scheme, width) {
  if (!stage.screenshots) return;
  mkdirSync(stage.screenshots, { recursive: true });
  await page.screenshot({ path: join(stage.screenshots, `${name}.${lang}.${scheme}.${width}.png`), fullPage: true });
}
