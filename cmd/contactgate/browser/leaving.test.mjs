// Leaving the gate's pages, and every form of them, under the real Content-Security-Policy and Referrer-Policy. What the
// browser complains of on the way fails the visit: see lib.mjs.
import assert from "node:assert/strict";
import { test } from "node:test";
import { askForCode, expectPath, form, go, mail, own, prefix, press, signIn, stage, visit } from "./lib.mjs";

test("not now arrives", () => visit("later", {}, async (me, page) => {
  await page.goto(me.origin + "/plain?x=1");
  await go(page, () => press(page, "verify/later"));
  assert.equal(page.url(), me.origin + "/plain?x=1");
  // And it is not asked again today, in a second tab either.
  const tab = await me.context.newPage();
  await tab.goto(me.origin + "/other");
  assert.equal(tab.url(), me.origin + "/other");
}));

test("not now arrives where the app sends people to another origin", () => visit("later-away", {}, async (me, page) => {
  await page.goto(me.origin + "/away");
  await expectPath(page, `${prefix}/verify`);
  await go(page, () => press(page, "verify/later"));
  assert.equal(page.url(), stage.elsewhere + "/landed?x=1");
}));

test("not now arrives from the page for a new contact, on another origin", () => visit("later-away-new", { address: null }, async (me, page) => {
  await page.goto(me.origin + "/away");
  await expectPath(page, `${prefix}/contacts/new`);
  await go(page, () => press(page, "verify/later"));
  assert.equal(page.url(), stage.elsewhere + "/landed?x=1");
}));

test("continue arrives where the app sends people to another origin", () => visit("continue-away", {}, async (me, page) => {
  await page.goto(me.origin + "/away");
  await askForCode(me);
  await page.fill("#code", (await mail(me.address)).Code);
  await go(page, () => press(page, "verify/code"));
  await go(page, () => page.locator("main a.button").first().click());
  assert.equal(page.url(), stage.elsewhere + "/landed?x=1");
}));

test("the language changes on every page, and the place is kept", () => visit("language", {}, async (me, page) => {
  const change = async (lang, path) => {
    await go(page, () => form(page, "language").locator(`button[value=${lang}]`).click());
    assert.equal(await page.locator("html").getAttribute("lang"), lang);
    await expectPath(page, prefix + path);
  };
  await page.goto(me.origin + "/kept?y=2");
  await change("ja", "/verify");
  await page.locator(`a[href^="${prefix}/contacts/new"]`).first().click();
  await change("en", "/contacts/new");
  await page.locator(`a[href^="${prefix}/help"]`).first().click();
  await change("ja", "/help");
  await page.goto(own(me, "verify"));
  await go(page, () => press(page, "verify/send"));
  // Step 2 is the answer to a form: the language leads back to step 1, with nothing lost.
  await change("en", "/verify");
  await page.goto(me.origin + "/kept?y=2");
}));

test("the way of the language leads to where the person was going", () => visit("language-way", {}, async (me, page) => {
  await page.goto(me.origin + "/kept?y=2");
  await go(page, () => form(page, "language").locator("button[value=ja]").click());
  await askForCode(me);
  await go(page, () => form(page, "language").locator("button[value=en]").click());
  await expectPath(page, `${prefix}/verify/code`);
  await page.fill("#code", (await mail(me.address)).Code);
  await go(page, () => press(page, "verify/code"));
  await go(page, () => form(page, "language").locator("button[value=ja]").click());
  await expectPath(page, `${prefix}/done`);
  await go(page, () => page.locator("main a.button").first().click());
  assert.equal(page.url(), me.origin + "/kept?y=2");
}));

test("none of these: a new address, typed wrong and right", () => visit("adding", {}, async (me, page) => {
  await page.goto(me.origin + "/new?z=3");
  await page.locator(`a[href^="${prefix}/contacts/new"]`).first().click();
  await page.fill("#address", "no.address");
  assert.equal((await go(page, () => press(page, "contacts/new"))).status(), 422);
  assert.equal(await page.inputValue("#address"), "no.address");
  await page.fill("#address", "adding-second@example.com");
  await go(page, () => press(page, "contacts/new"));
  await expectPath(page, `${prefix}/verify/code`);
  await page.fill("#code", (await mail("adding-second@example.com")).Code);
  await go(page, () => press(page, "verify/code"));
  await go(page, () => page.locator("main a.button").first().click());
  assert.equal(page.url(), me.origin + "/new?z=3");
  assert.ok((await mail(me.address)).Subject, "the address on file is told");
}));

test("somebody else in the same browser sees nothing of the former person", () => visit("former", {}, async (me, page) => {
  await page.goto(me.origin + "/");
  await askForCode(me);
  await signIn(me, "latter@example.com", "latter");
  await page.fill("#code", (await mail("former@example.com")).Code);
  const answer = await go(page, () => press(page, "verify/code"));
  assert.equal(answer.status(), 403);
  assert.ok(!(await page.content()).includes("fo****"));
}));
