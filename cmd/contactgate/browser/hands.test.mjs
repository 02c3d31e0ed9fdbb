// Every journey twice: by keyboard alone, where all that has the focus must show it, and without JavaScript.
import assert from "node:assert/strict";
import { test } from "node:test";
import { appCode, confirm, expectPath, hands, intrude, mail, own, phoneCode, prefix, spaced, stranger, visit } from "./lib.mjs";

const to = (action) => `form[action="${prefix}/${action}"] button`;
const onward = "main a.button";
let number = 0;

for (const [how, hand] of Object.entries(hands)) {
  const name = (journey) => `${journey}-${hand.js ? "keys" : "plain"}`;
  /** From step 1 to behind step 3, by mail. */
  const byMail = async (me, page) => {
    await hand.press(page, to("verify/send"));
    await hand.write(page, "#proof", me.address);
    await hand.press(page, to("verify/send"));
    await hand.write(page, "#code", spaced((await mail(me.address)).Code));
    await hand.press(page, to("verify/code"));
  };

  test(`an address is confirmed ${how}`, () => visit(name("mail"), { js: hand.js }, async (me, page) => {
    await page.goto(me.origin + "/deep/er?a=1&a=2");
    await byMail(me, page);
    await hand.press(page, onward);
    assert.equal(page.url(), me.origin + "/deep/er?a=1&a=2");
  }));

  const phone = `090-3333-001${number++}`;
  test(`a number is confirmed by text ${how}`, () => visit(name("text"), { js: hand.js, site: "phone", address: null, phone }, async (me, page) => {
    await page.goto(me.origin + "/inbox?x=1");
    await hand.press(page, `form:has([name=channel][value=sms]) button`);
    await hand.write(page, "#proof", phone.slice(-4));
    await hand.press(page, to("verify/send"));
    await hand.write(page, "#code", await phoneCode("sms", `+81${phone.replaceAll("-", "").slice(1)}`));
    await hand.press(page, to("verify/code"));
    await hand.press(page, onward);
    assert.equal(page.url(), me.origin + "/inbox?x=1");
  }));

  const added = `050-1234-782${number}`;
  test(`none of these, and a number for calls, ${how}`, () => visit(name("none"), { js: hand.js, site: "phone" }, async (me, page) => {
    await page.goto(me.origin + "/inbox?x=1");
    await hand.press(page, `a[href^="${prefix}/contacts/new"]`);
    await hand.press(page, `nav.kinds a[href*="kind=phone"]`);
    await hand.choose(page, "#country", "Japan");
    await hand.pick(page, "channel", "voice");
    await hand.write(page, "#address", added);
    await hand.press(page, to("contacts/new"));
    await hand.write(page, "#code", await phoneCode("voice", `+81${added.replaceAll("-", "").slice(1)}`));
    await hand.press(page, to("verify/code"));
    await hand.press(page, onward);
    assert.equal(page.url(), me.origin + "/inbox?x=1");
  }));

  test(`an authenticator app is set up ${how}`, () => visit(name("app"), { js: hand.js, site: "totp" }, async (me, page) => {
    await page.goto(me.origin + "/inbox?x=1");
    await byMail(me, page);
    await hand.press(page, "button[value=now]");
    assert.equal(await page.locator("svg.qr").count(), 1);
    const key = (await page.textContent("p.key bdi")).replaceAll(" ", "");
    await hand.write(page, "#code", appCode(key, 0));
    await hand.press(page, to("authenticator/setup"));
    assert.equal(await page.locator("ol.recovery bdi").count(), 10);
    await hand.press(page, onward);
    await hand.press(page, onward);
    assert.equal(page.url(), me.origin + "/inbox?x=1");
  }));

  test(`the own page is changed ${how}`, () => visit(name("own"), { js: hand.js, site: "device" }, async (me, page) => {
    const second = `zweite.${me.address}`;
    const item = (n, rest) => `section[aria-labelledby=contacts] ul.mine > li:nth-child(${n}) ${rest}`;
    await page.goto(me.origin + "/inbox");
    await byMail(me, page);
    await hand.press(page, `main a[href="${prefix}/"]`);
    await hand.press(page, `main a[href^="${prefix}/contacts/new"]`);
    await hand.write(page, "#address", second);
    await hand.press(page, to("contacts/new"));
    await hand.write(page, "#code", (await mail(second)).Code);
    await hand.press(page, to("verify/code"));
    await expectPath(page, `${prefix}/`);
    await hand.open(page, item(2, "summary"));
    await hand.press(page, item(2, to("contacts/primary")));
    assert.match(await page.textContent("section[aria-labelledby=contacts] li:has(.badge)"), /zw\*/);
    await hand.open(page, item(1, "summary"));
    await hand.press(page, item(1, to("contacts/remove")));
    assert.equal(await page.locator("section[aria-labelledby=contacts] ul.mine > li").count(), 1);
  }));

  test(`help is asked for ${how}`, () => visit(name("help"), { js: hand.js }, async (me, page) => {
    await page.goto(me.origin + "/inbox");
    await hand.press(page, `footer a[href^="${prefix}/help"]`);
    await hand.pick(page, "problem", "wrong_code");
    await hand.write(page, "#detail", "It does not work.");
    await hand.write(page, "#reach", "me@example.net");
    assert.equal((await hand.press(page, to("help"))).status(), 200);
    assert.match(await page.textContent(".number dd"), /^[A-Z2-7]{10}$/);
  }));

  test(`a stolen session is stopped ${how}`, () => visit(name("notice"), { js: hand.js }, async (me, page) => {
    const { thief, link } = await intrude(me, await confirm(me));
    const owner = await stranger("en", hand.js);
    await owner.page.goto(link);
    await hand.press(owner.page, "main form button");
    assert.match(await owner.page.textContent("h1"), /The account is stopped/);
    assert.equal((await page.goto(me.origin + "/inbox")).status(), 403);
    await hand.press(page, onward);
    await hand.write(page, "#detail", "It was me.");
    await hand.write(page, "#reach", "me@example.net");
    await hand.press(page, to("help"));
    assert.match(await page.textContent("h1"), /Your message is on its way/);
    assert.deepEqual([...owner.faults, ...thief.faults], []);
    await owner.context.close();
    await thief.context.close();
  }));
}
