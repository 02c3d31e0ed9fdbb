// The whole way, as people go it: interrupted, wrong, right, code, through.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { expectError, expectPath, form, go, mail, prefix, press, spaced, visit } from "./lib.mjs";

const wanted = "/inbox/2026?folder=a%20b&x=%2F..%2F&n=(1)";

for (const lang of ["en", "ja"]) {
  test(`by e-mail, with JavaScript, ${lang}`, () => visit(`journey-${lang}`, { lang, width: 320 }, async (me, page) => {
    const opened = await page.goto(me.origin + wanted);
    assert.equal(opened.status(), 200);
    await expectPath(page, `${prefix}/verify`);
    assert.equal(await page.locator("#contact-0").textContent(), "jo****@example.com");
    assert.ok(!(await page.content()).includes(me.address), "the whole address is nowhere");

    await go(page, () => press(page, "verify/send"));
    await page.fill("#proof", "somebody@example.com");
    const wrong = await go(page, () => press(page, "verify/send"));
    assert.equal(wrong.status(), 422);
    await expectError(page, lang);
    assert.equal(await page.inputValue("#proof"), "somebody@example.com", "what was typed is still there");
    // The summary leads to the field.
    await page.locator("#problem a").click();
    assert.equal(await page.evaluate(() => document.activeElement.id), "proof");

    await page.fill("#proof", ` ${me.address.toUpperCase()} `);
    await go(page, () => press(page, "verify/send"));
    await expectPath(page, `${prefix}/verify/code`);
    assert.equal(new URL(page.url()).search, "", "nothing in the address");
    const { Code: code, Subject: subject } = await mail(me.address);
    assert.ok((await page.locator("dl").textContent()).includes(subject), "the page names the subject that was sent");

    await page.fill("#code", code === "000000" ? "000001" : "000000");
    assert.equal((await go(page, () => press(page, "verify/code"))).status(), 422);
    await expectError(page, lang);
    assert.equal(await page.inputValue("#code"), "", "a code is not shown again");

    await page.fill("#code", spaced(code));
    await go(page, () => press(page, "verify/code"));
    await expectPath(page, `${prefix}/done`);
    await go(page, () => page.locator("main a.button").first().click());
    assert.equal(page.url(), me.origin + wanted);
    assert.equal(await page.locator("#at").textContent(), wanted, "the app saw the very bytes");

    // Going back shows neither the code nor the contact. What was the answer to a form, Chromium does not even ask for
    // again: it shows a page of its own, "confirm form resubmission".
    await page.goto(me.origin + "/");
    assert.equal(await page.locator("#at").textContent(), "/");
    const passed = [];
    for (let i = 0; i < 20; i++) {
      try {
        if (await page.goBack() === null) break; // the beginning
      } catch (error) {
        assert.match(error.message, /ERR_CACHE_MISS|Not attached to an active page/);
        await sleep(200);
        continue;
      }
      passed.push(new URL(page.url()).pathname);
      const fields = await page.locator("input").evaluateAll((list) => list.map((input) => input.value).join(" "));
      const content = (await page.content() + fields).toLowerCase();
      assert.ok(!content.includes(code) && !content.includes(spaced(code)), "the code");
      assert.ok(!content.includes(me.address), "the address");
    }
    assert.ok(passed.includes(`${prefix}/done`), `passed ${passed}`);
  }));
}

test("the button counts down with JavaScript, and then sends the same code again", () => visit("countdown", { site: "quick" }, async (me, page) => {
  await page.goto(me.origin + "/");
  await go(page, () => press(page, "verify/send"));
  await page.fill("#proof", me.address);
  await go(page, () => press(page, "verify/send"));
  const { Code: code } = await mail(me.address);
  await form(page, "verify/resend").locator("button:enabled").waitFor();
  await go(page, () => press(page, "verify/resend"));
  assert.equal((await mail(me.address, 2)).Code, code);
}));
