// A person's own page: what is there and since when, and what can be changed about it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { askForCode, control, expectPath, form, go, look, own, person, prefix, press, tabTo, visit } from "./lib.mjs";

const home = `${prefix}/`;
const contacts = (page) => page.locator("section[aria-labelledby=contacts] ul.mine > li");
/** The contact that shows this much of an address. */
const contact = (page, shown) => contacts(page).filter({ hasText: shown });
const openBox = (page, shown) => contact(page, shown).locator("summary").click();
const send = (page, shown, action) => go(page, () => contact(page, shown).locator(`form[action="${prefix}/${action}"] button`).click());
/** The nth code that went to an address; notices go there, too. */
async function code(to, n = 1) {
  for (let tries = 0; tries < 100; tries++) {
    const codes = (await control(`/mails?to=${encodeURIComponent(to)}&n=1`)).filter((m) => m.Code);
    if (codes.length >= n) return codes[n - 1].Code;
    await sleep(100);
  }
  throw new Error(`code ${n} to ${to} did not arrive`);
}
const enter = async (page, typed, trust) => {
  await page.fill("#code", typed);
  if (trust) await page.check("#trust");
  return go(page, () => press(page, "verify/code"));
};

/** Somebody who has confirmed their address in a browser that they trust, on their own page. */
async function settledIn(me, page) {
  await page.goto(me.origin + "/inbox?x=1");
  await askForCode(me);
  await enter(page, await code(me.address), true);
  await go(page, () => page.click(`main a[href="${home}"]`));
  await expectPath(page, home);
}

async function addContact(page, address) {
  await go(page, () => page.click(`main a[href^="${prefix}/contacts/new"]`));
  await page.fill("#address", address);
  await go(page, () => press(page, "contacts/new"));
  await enter(page, await code(address));
  await expectPath(page, home);
}

for (const lang of ["ar"]) {
  test(`the page in its states, ${lang}`, () => visit(`own-${lang}`, { lang, site: "device", width: 320 }, async (me, page) => {
    const seen = (name) => look(page, name, lang);
    const [first, second] = [me.address.slice(0, 2), "zw"];
    await settledIn(me, page);
    await seen("details-confirmed");
    await addContact(page, `zweite.${me.address}`);
    await seen("details-added");
    await openBox(page, second);
    await seen("details-open");
    await send(page, second, "contacts/primary");
    assert.equal(await contact(page, second).locator(".badge").count(), 1);
    await seen("details-main");

    // In another browser a change takes a code first; the person comes back to what they were doing.
    const other = await person(me.user, { site: "device", lang, address: me.address, width: 320 });
    await other.page.goto(own(other, ""));
    await look(other.page, "details-device", lang);
    await openBox(other.page, second);
    await send(other.page, second, "contacts/remove");
    await expectPath(other.page, `${prefix}/fresh`);
    await go(other.page, () => press(other.page, "fresh"));
    await other.page.fill("#proof", me.address);
    await go(other.page, () => press(other.page, "fresh"));
    await enter(other.page, await code(me.address, 2), true);
    await expectPath(other.page, home);
    assert.ok(await contact(other.page, second).locator("details").evaluate((d) => d.open), "the box is open again");
    assert.equal(await other.page.evaluate(() => document.activeElement.localName), "summary");
    await look(other.page, "details-fresh", lang);
    await send(other.page, second, "contacts/remove");
    assert.equal(await contact(other.page, second).count(), 0);
    await look(other.page, "details-removed", lang);
    await openBox(other.page, first);
    assert.equal(await form(other.page, "contacts/remove").count(), 0, "the last confirmed contact stays");
    await look(other.page, "details-last", lang);

    // The first browser has an old page open still. (Its code was one of the contact that is gone, so it is asked for another.)
    await openBox(page, second);
    assert.equal((await send(page, second, "contacts/remove")).status(), 403);
    await seen("details-gone");
    const browsers = other.page.locator("section[aria-labelledby=browsers]");
    assert.equal(await browsers.locator("ul.mine > li").count(), 2);
    await go(other.page, () => browsers.locator("form").last().locator("button").click());
    assert.equal(await browsers.locator("ul.mine > li").count(), 0);
    await look(other.page, "details-revoked", lang);
    await page.goto(me.origin + "/inbox");
    await expectPath(page, `${prefix}/verify`);
    await other.context.close();
    assert.deepEqual(other.faults, []);
  }));
}

for (const [site, state] of Object.entries({ app: "details-grace", late: "details-blocked" })) {
  test(`nothing is confirmed yet, ${state}`, () => visit(`own-${site}`, { site, width: 320 }, async (me, page) => {
    await page.goto(me.origin + "/inbox");
    if (site === "late") await sleep(5200);
    await page.goto(own(me, ""));
    await look(page, state, "en");
    // "Confirm now" leads to step 2, and from there back.
    await go(page, () => press(page, "contacts/confirm"));
    await page.fill("#proof", me.address);
    await go(page, () => press(page, "verify/send"));
    await enter(page, await code(me.address));
    await expectPath(page, home);
    assert.match(await page.textContent(".success"), /was confirmed/);
    await go(page, () => page.locator(".others a").last().click());
    assert.equal(new URL(page.url()).pathname, "/");
  }));
}

test("nothing on file", () => visit("own-nothing", { address: null, width: 320 }, async (me, page) => {
  await page.goto(own(me, ""));
  assert.equal(await contacts(page).count(), 0);
  await look(page, "details-nothing", "en");
  await addContact(page, "own.nothing@example.com");
  assert.equal(await contacts(page).count(), 1);
}));
