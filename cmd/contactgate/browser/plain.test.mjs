// More of what has to work without JavaScript, by keyboard alone, and by pasting. (hands.test.mjs has the journeys.)
import assert from "node:assert/strict";
import { test } from "node:test";
import { askForCode, expectError, expectPath, form, go, mail, prefix, press, spaced, tabTo, visit } from "./lib.mjs";

test("without JavaScript: what is wrong, and what is too early", () => visit("plain", { lang: "ja", js: false, width: 320 }, async (me, page) => {
  await page.goto(me.origin + "/deep/er?a=1&a=2");
  await expectPath(page, `${prefix}/verify`);
  await go(page, () => press(page, "verify/send"));
  await page.fill("#proof", "x@example.com");
  assert.equal((await go(page, () => press(page, "verify/send"))).status(), 422);
  await page.fill("#proof", me.address);
  await go(page, () => press(page, "verify/send"));
  // Too early: the page says for how long, and the field for the code is still there.
  assert.equal((await go(page, () => press(page, "verify/resend"))).status(), 429);
  assert.match(await page.locator("#problem").textContent(), /\d/);
  await page.fill("#code", spaced((await mail(me.address)).Code));
  await go(page, () => press(page, "verify/code"));
  await go(page, () => page.locator("main a.button").first().click());
  assert.equal(page.url(), me.origin + "/deep/er?a=1&a=2");
}));

test("without JavaScript: not now, and the language keeps the place", () => visit("plain-later", { js: false }, async (me, page) => {
  await page.goto(me.origin + "/was/here?q=1");
  await go(page, () => form(page, "language").locator("button[value=ja]").click());
  assert.equal(await page.locator("html").getAttribute("lang"), "ja");
  await expectPath(page, `${prefix}/verify`);
  await go(page, () => press(page, "verify/later"));
  assert.equal(page.url(), me.origin + "/was/here?q=1");
}));

test("by keyboard alone: from what is wrong to the field", () => visit("keys", {}, async (me, page) => {
  await page.goto(me.origin + "/k?1");
  await tabTo(page, `form[action="${prefix}/verify/send"] button`);
  await go(page, () => page.keyboard.press("Enter"));
  await tabTo(page, "#proof");
  await page.keyboard.type("wrong@example.com");
  await go(page, () => page.keyboard.press("Enter"));
  await expectError(page);
  await tabTo(page, "#problem a");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "proof");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type(me.address);
  await go(page, () => page.keyboard.press("Enter"));
  await expectPath(page, `${prefix}/verify/code`);
}));

test("by keyboard alone: not now with the space bar", () => visit("keys-later", {}, async (me, page) => {
  await page.goto(me.origin + "/k?2");
  await tabTo(page, `form[action="${prefix}/verify/later"] button`);
  await go(page, () => page.keyboard.press("Space"));
  assert.equal(page.url(), me.origin + "/k?2");
}));

// Pasting goes around every hurdle of typing, but not around maxlength: that would cut the code off.
const fullWidth = (code) => [...code].map((d) => String.fromCodePoint(0xff10 + Number(d))).join("");
for (const [what, spelled] of Object.entries({
  "a sentence": (code) => `  ${code} is your Example security code, it works for 10 minutes.  `,
  "full-width digits with dashes": (code) => [...fullWidth(code)].join("‐"),
  "a Japanese sentence": (code) => `確認コード: ${fullWidth(code)}（Example）`,
})) {
  test(`a pasted code is understood: ${what}`, () => visit(`paste-${what.replaceAll(" ", "-")}`, {}, async (me, page) => {
    await page.goto(me.origin + "/");
    await askForCode(me);
    const { Code: code } = await mail(me.address);
    await page.focus("#code");
    await page.keyboard.insertText(spelled(code));
    await go(page, () => press(page, "verify/code"));
    await expectPath(page, `${prefix}/done`);
  }));
}
