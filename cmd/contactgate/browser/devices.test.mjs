// A browser that is marked as one's own is not asked again; every other one is. By hand, by keyboard alone, and without a script.
import assert from "node:assert/strict";
import { test } from "node:test";
import { askForCode, expectPath, go, mail, person, prefix, press, visit } from "./lib.mjs";

for (const js of [true, false]) {
  test(`a trusted browser, ${js ? "with" : "without"} JavaScript`, () =>
    visit(`trust-${js}`, { site: "device", js }, async (me, page) => {
      await page.goto(me.origin + "/inbox?x=1");
      await askForCode(me);
      const { Code: code } = await mail(me.address);
      // From the field to the box, to the button: three keys.
      await page.focus("#code");
      await page.keyboard.type(code);
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.id), "trust");
      await page.keyboard.press("Space");
      assert.ok(await page.isChecked("#trust"));
      await page.keyboard.press("Tab");
      await go(page, () => page.keyboard.press("Enter"));
      await expectPath(page, `${prefix}/done`);
      assert.match(await page.textContent("main"), /This browser is trusted until/);

      // The browser is closed and opened again: what lives for a session is gone.
      const kept = (await me.context.cookies()).filter((c) => c.expires > 0);
      assert.equal(kept.length, 1, JSON.stringify(kept));
      assert.match(kept[0].name, /^__Host-contactgate-device-[0-9a-f]{8}$/);
      const again = await person(me.user, { site: "device", js, address: me.address });
      await again.context.addCookies(kept);
      await again.page.goto(again.origin + "/inbox?x=2");
      await expectPath(again.page, "/inbox");
      await again.context.close();

      // Another browser has to enter a code, and goes on where it was going.
      const other = await person(me.user, { site: "device", js, address: me.address });
      await other.page.goto(other.origin + "/inbox?x=3");
      await expectPath(other.page, `${prefix}/verify`);
      assert.match(await other.page.textContent("h1"), /Confirm it is you on this browser/);
      await askForCode(other);
      await other.page.fill("#code", (await mail(me.address, 2)).Code);
      await go(other.page, () => press(other.page, "verify/code"));
      await go(other.page, () => other.page.click("main a.button"));
      assert.equal(other.page.url(), other.origin + "/inbox?x=3");
      assert.deepEqual((await other.context.cookies()).filter((c) => c.expires > 0), []);
      await other.context.close();
      assert.deepEqual([...again.faults, ...other.faults], []);
    }));
}

test("the words beside the box are part of it", () =>
  visit("label", { site: "device" }, async (me, page) => {
    await page.goto(me.origin + "/");
    await askForCode(me);
    await page.tap("label[for=trust]");
    assert.ok(await page.isChecked("#trust"));
    await page.tap("#trust");
    assert.ok(!await page.isChecked("#trust"));
  }));
