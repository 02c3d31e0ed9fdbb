// "This was not me", frozen accounts, and asking for help, and what the pages look like.
import assert from "node:assert/strict";
import { test } from "node:test";
import { askForCode, confirm, control, expectError, expectPath, go, intrude, look, mail, own, prefix, press, stranger, visit } from "./lib.mjs";

const freeze = (verb, user, realm) => control(`/accounts?verb=${verb}&realm=${realm}&user=${encodeURIComponent(user)}`);

for (const lang of ["en", "ja"]) {
  test(`this was not me, ${lang}`, () => visit(`notme-${lang}`, { lang }, async (me, page) => {
    const { thief, link } = await intrude(me, await confirm(me));
    const owner = await stranger(lang);
    const leaked = [];
    owner.context.on("request", (request) => {
      const { referer = "" } = request.headers();
      if (referer.includes("/notice/")) leaked.push(`${request.method()} ${request.url()} from ${referer}`);
    });
    await owner.page.goto(link);
    await look(owner.page, "notice", lang);
    // Opening it did nothing.
    await page.goto(me.origin + "/inbox?x=1");
    await expectPath(page, "/inbox");

    await owner.page.focus("main form button");
    assert.equal((await go(owner.page, () => owner.page.keyboard.press("Enter"))).status(), 200);
    await look(owner.page, "notice-done", lang);
    const reference = (await owner.page.textContent(".number dd")).trim();
    assert.match(reference, /^[A-Z2-7]{10}$/);
    for (const somebody of [me, thief]) {
      await somebody.page.goto(somebody.origin + "/inbox?x=2");
      await expectPath(somebody.page, `${prefix}/verify`);
      assert.ok((await somebody.page.textContent("main")).includes(reference), "the frozen page tells the reference");
    }
    await look(page, "frozen", lang);
    await freeze("unfreeze", me.user, "app");
    await owner.page.goto(link);
    assert.equal((await go(owner.page, () => owner.page.click("main form button"))).status(), 403);
    await look(owner.page, "notice-used", lang);
    await page.goto(me.origin + "/inbox?x=3");
    await expectPath(page, "/inbox");

    assert.equal((await owner.page.goto(link.slice(0, -3))).status(), 404);
    await expectError(owner.page, lang);
    await look(owner.page, "notice-gone", lang);
    assert.deepEqual([...leaked, ...owner.faults, ...thief.faults], [], "the address of a link goes nowhere");
    await owner.context.close();
    await thief.context.close();
  }));

  test(`the code of a text message, ${lang}`, async () => {
    const owner = await stranger(lang);
    const { page } = owner;
    await page.goto(own(owner, "notice"));
    await look(page, "notice-code", lang);
    const type = async (code) => {
      await page.fill("#code", code);
      return (await go(page, () => page.click("main form button"))).status();
    };
    for (const [code, state] of [["", "empty"], ["abc", "short"], ["abcdefghij", "long"], ["abcdefg!", "letters"], ["abcd efgh", "wrong"]]) {
      assert.equal(await type(code), 422, state);
      await expectError(page, lang);
      await look(page, `notice-${state}`, lang);
      await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      assert.equal(await page.evaluate(() => document.activeElement.id), "code", "the summary leads to the field");
      assert.equal(await page.inputValue("#code"), "", "codes are not kept");
    }
    assert.deepEqual(owner.faults, []);
    await owner.context.close();
  });

  test(`a contact on hold is taken off, ${lang}`, () => visit(`undo-${lang}`, { lang, site: "lapse" }, async (me, page) => {
    let told = await confirm(me);
    await new Promise((done) => setTimeout(done, 4100)); // reconfirm is four seconds there
    const { thief } = await intrude(me, told++, { lang });
    await thief.page.goto(own(thief, "verify"));
    await look(thief.page, "ask-held", lang);
    await go(thief.page, () => press(thief.page, "contacts/undo"));
    await expectPath(thief.page, `${prefix}/fresh`);
    await page.goto(own(me, "verify"));
    await askForCode(me);
    await page.fill("#code", (await mail(me.address, ++told)).Code);
    await go(page, () => press(page, "verify/code"));
    await look(page, "done-held", lang);
    assert.equal((await go(page, () => press(page, "contacts/undo"))).status(), 200);
    await look(page, "undone", lang);
    assert.deepEqual(thief.faults, []);
    await thief.context.close();
  }));

  test(`asking for help, ${lang}`, () => visit(`helped-${lang}`, { lang, width: 320 }, async (me, page) => {
    await page.goto(own(me, "help"));
    await look(page, "help-form", lang);
    const send = async () => (await go(page, () => press(page, "help"))).status();
    assert.equal(await send(), 422);
    await expectError(page, lang);
    await look(page, "help-problem", lang);
    await page.check("input[name=problem][value=no_code]");
    await page.fill("#reach", "me@example.net");
    assert.equal(await send(), 422);
    await expectError(page, lang);
    await look(page, "help-detail", lang);
    assert.ok(await page.isChecked("input[value=no_code]"), "the choice is kept");
    assert.equal(await page.inputValue("#reach"), "me@example.net");
    const detail = "\nIt does not arrive.\n  <b>Not</b> here.";
    await page.fill("#detail", detail);
    await page.fill("#reach", "");
    assert.equal(await send(), 422);
    await look(page, "help-reach", lang);
    assert.equal((await page.inputValue("#detail")).trim(), detail.trim());
    await page.fill("#reach", "me@example.net");
    assert.equal(await send(), 200);
    await look(page, "help-sent", lang);
    const reference = (await page.textContent(".number dd")).trim();
    const sent = await control("/mails?to=help@example.com&n=1");
    await assert.doesNotReject(async () => {
      for (let n = sent.length; ; n++) {
        if ((await control(`/mails?to=help@example.com&n=${n}`)).some((m) => m.Text.includes(reference) && m.Text.includes("> It does not arrive."))) return;
        assert.ok(n < sent.length + 5, "the mail about it did not arrive");
      }
    });
    for (let i = 0; i < 2; i++) {
      await page.goto(own(me, "help"));
      await page.check("input[value=other]");
      await page.fill("#detail", `Again ${i}.`);
      await page.fill("#reach", "me@example.net");
      assert.equal(await send(), 200);
    }
    await page.goto(own(me, "help"));
    await page.check("input[value=other]");
    await page.fill("#detail", "Once too often.");
    await page.fill("#reach", "me@example.net");
    assert.equal(await send(), 429);
    await expectError(page, lang);
    await look(page, "help-wait", lang);
    assert.equal(await page.inputValue("#detail"), "Once too often.");
  }));

  test(`frozen by an operator, ${lang}`, () => visit(`cold-${lang}`, { lang, width: 320 }, async (me, page) => {
    await page.goto(me.origin + "/inbox");
    await freeze("freeze", me.user, "app");
    assert.equal((await page.goto(me.origin + "/inbox")).status(), 403);
    await look(page, "frozen-operator", lang);
    await go(page, () => page.click("main a.button"));
    await expectPath(page, `${prefix}/help`);
    await look(page, "help-frozen", lang);
    assert.ok(await page.isChecked("input[value=stopped]"));
    await page.goto(me.origin + "/form");
    await expectPath(page, `${prefix}/verify`);
  }));
}
