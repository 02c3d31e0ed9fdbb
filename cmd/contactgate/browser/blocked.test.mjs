// What an app's own pages meet while access is stopped, and what several tabs do to each other.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { askForCode, control, expectError, expectPath, form, go, mail, own, prefix, press, visit } from "./lib.mjs";

/** Opens a page of the app while grace lasts, and waits until grace is over. */
async function overdue(me, page, path) {
  await page.goto(me.origin + path);
  await expectPath(page, `${prefix}/verify`);
  await go(page, () => press(page, "verify/later"));
  assert.equal(page.url(), me.origin + path);
  await sleep(5200);
}

test("a form of the app is not sent, and not sent later", () => visit("poster", { site: "late" }, async (me, page) => {
  await overdue(me, page, "/form");
  await page.fill("[name=note]", "typed with care");
  assert.equal((await go(page, () => page.locator("button").click())).status(), 403);
  assert.equal(await page.title(), "Your form was not sent – Example");
  const [tab] = await Promise.all([me.context.waitForEvent("page"), page.locator("main a.button").click()]);
  await tab.waitForLoadState("load");
  assert.equal(await tab.locator(`form[action="${prefix}/verify/later"]`).count(), 0, "no “not now”");
  await askForCode(me, tab);
  await tab.fill("#code", (await mail(me.address)).Code);
  await go(tab, () => press(tab, "verify/code"));
  await go(tab, () => tab.locator("main a.button").first().click());
  assert.deepEqual(await control("/notes"), [], "nothing was replayed");
  // Back in the first tab, as the page said.
  await page.goBack();
  assert.equal(await page.inputValue("[name=note]"), "typed with care", "what was typed is still there");
  await go(page, () => page.locator("button").click());
  assert.equal(await page.locator("#received").textContent(), "received: typed with care");
  assert.deepEqual(await control("/notes"), ["typed with care"]);
}));

test("scripts of the app are told, sockets and frames are refused", () => visit("scripts", { site: "late" }, async (me, page) => {
  await overdue(me, page, "/app");
  const fetched = await page.evaluate(async () => {
    const answers = [];
    for (const init of [{}, { method: "POST", body: "x" }, { headers: { "X-Requested-With": "XMLHttpRequest", Accept: "text/html" } }]) {
      const r = await fetch("/data", init);
      answers.push({ status: r.status, redirected: r.redirected, type: r.headers.get("content-type"), notice: r.headers.get("contactgate"), body: await r.json() });
    }
    return answers;
  });
  for (const a of fetched) {
    assert.equal(a.status, 403);
    assert.equal(a.redirected, false);
    assert.equal(a.type, "application/problem+json");
    assert.equal(a.notice, "required");
    assert.equal(a.body.type, "urn:contactgate:verification-required");
    assert.equal(a.body.verify_url, `${prefix}/verify`);
  }
  const socket = await page.evaluate(() => new Promise((done) => {
    const s = new WebSocket(`wss://${location.host}/socket`);
    s.onopen = () => done("open");
    s.onerror = () => done("refused");
  }));
  assert.equal(socket, "refused");
  me.faults.length = 0; // Chromium tells the console of the socket
  const status = await page.evaluate(async () => (await fetch("/.contactgate/status")).json());
  assert.equal(status.status, "overdue");

  await page.evaluate(() => {
    const frame = document.createElement("iframe");
    frame.src = "/inner";
    document.body.append(frame);
    return new Promise((done) => { frame.onload = done; });
  });
  const inner = page.frames().find((f) => f !== page.mainFrame());
  assert.ok(!(await inner.content().catch(() => "")).includes("contact-0"), "no interstitial in a frame");
  me.faults.length = 0;
  // A page being opened is led to where access starts again.
  await page.goto(me.origin + "/app");
  await expectPath(page, `${prefix}/verify`);
}));

test("a frame in a page of the app shows the app, while grace lasts", () => visit("frames", {}, async (me, page) => {
  await page.goto(me.origin + "/frames");
  await go(page, () => press(page, "verify/later"));
  const inner = page.frames().find((f) => f !== page.mainFrame());
  await inner.waitForSelector("#at");
  assert.equal(await inner.locator("#at").textContent(), "/inner");
}));

test("two tabs: a newer code ends the form of the older one", () => visit("tabs", { site: "quick" }, async (me, page) => {
  await page.goto(me.origin + "/one");
  await askForCode(me);
  const { Code: first } = await mail(me.address);
  await sleep(4500); // more than half of the code's life: sending again makes a new one
  const tab = await me.context.newPage();
  await tab.goto(own(me, "verify/code"));
  await go(tab, () => press(tab, "verify/resend"));
  const { Code: second } = await mail(me.address, 2);
  assert.notEqual(first, second);
  await page.fill("#code", first);
  assert.equal((await go(page, () => press(page, "verify/code"))).status(), 422);
  await expectError(page);
  assert.match(await page.locator("#problem").textContent(), /newer code/);
  await page.fill("#code", second);
  await go(page, () => press(page, "verify/code"));
  await expectPath(page, `${prefix}/done`);
  // The other tab's form comes too late and harms nothing.
  await tab.fill("#code", second);
  await go(tab, () => press(tab, "verify/code"));
  await expectPath(tab, `${prefix}/done`);
}));

test("a form whose session was overwritten is shown again with what was typed", () => visit("overwritten", {}, async (me, page) => {
  await page.goto(me.origin + "/one?two");
  await go(page, () => press(page, "verify/send"));
  await page.fill("#proof", me.address);
  const mine = await me.context.cookies();
  const other = await me.context.newPage();
  await me.context.clearCookies({ name: /contactgate/ });
  await other.goto(own(me, "verify")); // a new session takes the cookie's place
  assert.ok(mine.length > 0);
  assert.equal((await go(page, () => press(page, "verify/send"))).status(), 403);
  assert.equal(await page.inputValue("#proof"), me.address, "what was typed is still there");
  assert.equal((await go(page, () => press(page, "verify/send"))).status(), 200);
  await expectPath(page, `${prefix}/verify/code`);
  await page.fill("#code", (await mail(me.address)).Code);
  await go(page, () => press(page, "verify/code"));
  await go(page, () => page.locator("main a.button").first().click());
  assert.equal(page.url(), me.origin + "/one?two");
}));

test("without cookies there is a page that says so", () => visit("nocookies", {}, async (me, page) => {
  await page.goto(me.origin + "/");
  await me.context.clearCookies({ name: /contactgate/ });
  assert.equal((await go(page, () => press(page, "verify/later"))).status(), 403);
  assert.equal(await page.title(), "Please allow cookies for this site – Example");
}));

test("pressing twice sends once", () => visit("twice", {}, async (me, page) => {
  await page.goto(me.origin + "/");
  await go(page, () => press(page, "verify/send"));
  await page.fill("#proof", me.address);
  await page.evaluate((action) => {
    const f = document.querySelector(`form[action="${action}"]`);
    f.requestSubmit();
    f.requestSubmit();
  }, `${prefix}/verify/send`);
  await page.waitForURL(`**${prefix}/verify/code`);
  await mail(me.address);
  await sleep(500);
  assert.equal((await control(`/mails?to=${me.address}&n=1`)).length, 1);
}));
