// A number is added and confirmed by text and by call; an authenticator app is set up by the key as text, and asked for in another
// browser. With and without a script, at 320 px, and the pages are looked at.
import assert from "node:assert/strict";
import { test } from "node:test";
import { appCode, askForCode, control, expectError, expectPath, form, go, look, mail, person, prefix, press, visit } from "./lib.mjs";

/** The code of the last text or call to a number. */
async function heard(channel, to) {
  const list = await control(`/phones?${new URLSearchParams({ channel, to })}`);
  assert.equal(list.length, 1, `${channel} to ${to}`);
  return list[0].Code;
}

let numbers = 0;
for (const [lang, channel, js] of [["ar", "sms", true], ["ja", "voice", true], ["en", "sms", false]]) {
  test(`a number is added by ${channel}, ${lang}, ${js ? "with" : "without"} JavaScript`, () =>
    visit(`adder-${numbers}`, { address: null, lang, js, width: 320 }, async (me, page) => {
      const digits = String(10_000_000 + 1111 * ++numbers);
      await page.goto(me.origin + "/inbox?x=1");
      await expectPath(page, `${prefix}/contacts/new`);
      await go(page, () => page.click(`nav.kinds a[href*="kind=phone"]`));
      await page.selectOption("#country", "JP");
      await page.check(`[name=channel][value=${channel}]`);
      // Too short: said so, and what was chosen is kept.
      await page.fill("#address", "090-1");
      await page.focus("#address");
      assert.equal((await go(page, () => page.keyboard.press("Enter"))).status(), 422);
      await expectError(page, lang);
      assert.equal(await page.inputValue("#address"), "090-1");
      assert.ok(await page.isChecked(`[name=channel][value=${channel}]`));
      if (js) await look(page, `add-phone-number-${channel}`, lang);
      // As it is typed in Japan, in full width.
      const typed = `090-${digits.slice(0, 4)}-${digits.slice(4)}`.replace(/\d/g, (d) => String.fromCharCode(d.charCodeAt(0) + 0xfee0));
      await page.fill("#address", typed);
      await go(page, () => page.keyboard.press("Enter"));
      await expectPath(page, `${prefix}/verify/code`);
      if (js) await look(page, `code-new-${channel}`, lang);
      await page.fill("#code", await heard(channel, `+8190${digits}`));
      await go(page, () => press(page, "verify/code"));
      await expectPath(page, `${prefix}/done`);
      await go(page, () => page.locator("main a.button").first().click());
      assert.equal(page.url(), me.origin + "/inbox?x=1");
    }));
}

for (const [lang, js] of [["ja", true]]) {
  test(`an authenticator app, ${lang}, ${js ? "with" : "without"} JavaScript`, () =>
    visit(`app-${lang}`, { site: "totp", lang, js, width: 320 }, async (me, page) => {
      await page.goto(me.origin + "/inbox");
      await askForCode(me);
      await page.fill("#code", (await mail(me.address)).Code);
      await go(page, () => press(page, "verify/code"));
      await expectPath(page, `${prefix}/authenticator`);
      await go(page, () => page.locator("button[name=choice][value=now], form:has([name=choice][value=now]) button").first().click());
      await expectPath(page, `${prefix}/authenticator/setup`);
      assert.equal(await page.locator("svg.qr").count(), 1);
      const key = (await page.locator("p.key bdi").textContent()).replaceAll(" ", "");
      const first = appCode(key, 0);
      await page.fill("#code", first);
      await page.focus("#code");
      assert.equal((await go(page, () => page.keyboard.press("Enter"))).status(), 200);
      assert.equal(await page.locator("main li bdi").count(), 10, "recovery codes, shown once");

      const other = await person(me.user, { site: "totp", lang, js, address: me.address, width: 320 });
      await other.page.goto(other.origin + "/inbox?x=2");
      await go(other.page, () => form(other.page, "verify/send").filter({ has: other.page.locator("[value=authenticator]") }).locator("button").click());
      await other.page.fill("#code", first);
      assert.equal((await go(other.page, () => press(other.page, "verify/code"))).status(), 422, "the code that set it up is used");
      await expectError(other.page, lang);
      if (js) await look(other.page, "appcode-used", lang);
      await other.page.fill("#code", appCode(key, 1));
      await go(other.page, () => press(other.page, "verify/code"));
      await other.page.goto(other.origin + "/inbox?x=2");
      await expectPath(other.page, "/inbox");
      await other.context.close();
      assert.deepEqual(other.faults, []);
    }));
}
