// The way to every page and state in the product itself, with the answers that it gives: see `look` in lib.mjs for what is
// looked at. (gallery.test.mjs has the same pages from their samples: in every language, in the dark, and as pictures.)
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { appCode, askForCode, content, control, expectError, expectPath, form, go, locales, look, mail, own, person, phoneCode, prefix, press, shoot, signIn, visit } from "./lib.mjs";

const langs = Object.keys(locales);
let turn = 0;
/** The languages take turns. */
const someone = (name, options, steps) => {
  const lang = langs[turn++ % langs.length];
  test(`${name}, ${lang}`, () => visit(name, { lang, width: 320, ...options }, async (me, page) => {
    await page.goto(me.origin + "/inbox?x=1");
    await steps(me, page, (state) => look(page, state, lang), lang);
  }));
};
const sendAgain = (page) => go(page, () => press(page, "verify/resend"));
const enter = async (page, code) => {
  await page.fill("#code", code);
  return go(page, () => press(page, "verify/code"));
};
const prove = async (page, proof) => {
  await page.fill("#proof", proof);
  return go(page, () => press(page, "verify/send"));
};

someone("anna", {}, async (me, page, seen, lang) => {
  await seen("ask-grace");
  await page.setViewportSize({ width: 390, height: 700 });
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    await shoot(page, "readme", lang, scheme, 390);
  }
  await page.emulateMedia({ colorScheme: null, reducedMotion: null });
  await signIn(me, `new.address@a-rather-long-department.university.example.ac.jp`);
  await page.goto(own(me, "verify"));
  assert.equal(await page.locator("ul.contacts li").count(), 2);
  await seen("ask-two");
});

someone("prove", {}, async (me, page, seen, lang) => {
  await go(page, () => press(page, "verify/send"));
  await seen("prove");
  assert.equal((await prove(page, "  ")).status(), 422);
  await expectError(page, lang);
  await seen("prove-empty");
  assert.equal((await prove(page, "anna.mistyped.address.that.is.quite.long@a-rather-long-department.example.com")).status(), 422);
  await expectError(page, lang);
  await seen("prove-mismatch");
});

someone("limited", { site: "tight" }, async (me, page, seen, lang) => {
  await go(page, () => press(page, "verify/send"));
  assert.equal((await prove(page, "x@example.com")).status(), 422);
  await expectError(page, lang);
  assert.equal(await page.locator("#proof").count(), 0, "no field that can only fail");
  await seen("prove-last");
  await page.goto(own(me, "verify"));
  await go(page, () => press(page, "verify/send"));
  assert.equal((await prove(page, me.address)).status(), 429);
  await expectError(page, lang);
  await seen("prove-limited");
});

someone("toomany", { site: "tight" }, async (me, page, seen, lang) => {
  await askForCode(me);
  await mail(me.address);
  assert.equal((await enter(page, "000000")).status(), 422);
  assert.equal((await enter(page, "000001")).status(), 422);
  assert.equal(await page.locator("#code").count(), 0, "no field that can only fail");
  await seen("code-last");
  await page.goto(own(me, "verify/code"));
  assert.equal((await enter(page, "000002")).status(), 429);
  await expectError(page, lang);
  await seen("code-closed");
  await sleep(1100);
  assert.equal((await sendAgain(page)).status(), 429);
  await seen("trouble-limited");
  await page.goto(own(me, "contacts/new"));
  for (const address of ["one", "two"]) {
    await page.fill("#address", `${address}-${me.address}`);
    await go(page, () => press(page, "contacts/new"));
  }
  await seen("add-limited");
});

someone("code", {}, async (me, page, seen) => {
  await askForCode(me);
  await seen("code");
  assert.ok(await page.locator("form.resend button").isDisabled(), "the script holds the button back");
});

someone("codes", {}, async (me, page, seen, lang) => {
  await askForCode(me);
  const { Code: code } = await mail(me.address);
  assert.equal((await enter(page, "12345")).status(), 422);
  await seen("code-short");
  assert.equal((await enter(page, "my code")).status(), 422);
  await seen("code-letters");
  assert.equal((await enter(page, code === "123456" ? "123457" : "123456")).status(), 422);
  await expectError(page, lang);
  await seen("code-wrong");
  // As without JavaScript: the button is not held back.
  await page.locator("form.resend button").evaluate((b) => { b.disabled = false; });
  assert.equal((await sendAgain(page)).status(), 429);
  await expectError(page, lang);
  await seen("code-early");
  await enter(page, code);
  await expectPath(page, `${prefix}/done`);
  await seen("done");
  await page.goto(own(me, "contacts/new"));
  await page.fill("#address", `second.${me.address}`);
  await go(page, () => press(page, "contacts/new"));
  await enter(page, (await mail(`second.${me.address}`)).Code);
  await seen("done-two");
});

someone("expired", { site: "quick" }, async (me, page, seen, lang) => {
  await askForCode(me);
  const { Code: code } = await mail(me.address);
  await sleep(8200);
  assert.equal((await enter(page, code)).status(), 422);
  await expectError(page, lang);
  await seen("code-expired");
  await sendAgain(page);
  await expectPath(page, `${prefix}/verify/code`);
});

someone("again", { site: "quick" }, async (me, page, seen) => {
  await askForCode(me);
  await sleep(4500); // more than half of the code's life: sending again makes a new one
  await sendAgain(page);
  await expectPath(page, `${prefix}/verify/code`);
  await seen("code-new");
});

someone("adding", {}, async (me, page, seen, lang) => {
  await page.goto(own(me, "contacts/new"));
  await seen("add");
  assert.equal((await go(page, () => press(page, "contacts/new"))).status(), 422);
  await expectError(page, lang);
  await seen("add-empty");
  await page.fill("#address", "taro.example.com");
  assert.equal((await go(page, () => press(page, "contacts/new"))).status(), 422);
  await expectError(page, lang);
  await seen("add-address");
  await page.fill("#address", `typed.${me.address}`);
  await go(page, () => press(page, "contacts/new"));
  await expectPath(page, `${prefix}/verify/code`);
  await seen("code-adding");
});

const number = (end) => `090-1222-${end}`;
const e164 = (written) => "+81" + written.replaceAll("-", "").slice(1);
const byChannel = (page, channel) => page.locator(`form:has(input[name=channel][value=${channel}]) button`).first().click();

someone("phone", { site: "phone", phone: number("5634") }, async (me, page, seen, lang) => {
  assert.equal(await page.locator("ul.contacts li").count(), 2);
  await seen("ask-phone");
  await go(page, () => byChannel(page, "voice"));
  await seen("prove-call");
  await page.goto(own(me, "verify"));
  await go(page, () => byChannel(page, "sms"));
  await seen("prove-text");
  for (const [typed, state] of [["", "prove-phone-empty"], ["34", "prove-phone-digits"], ["0034", "prove-phone-mismatch"], ["0134", ""], ["0234", "prove-phone-spent"], ["5634", "prove-phone-whole"]]) {
    assert.equal((await prove(page, typed)).status(), 422);
    await expectError(page, lang);
    if (state) await seen(state);
  }
  await prove(page, number("5634"));
  await expectPath(page, `${prefix}/verify/code`);
  await seen("code-text");
  assert.equal((await enter(page, "12345x")).status(), 422);
  await seen("code-text-letters");
  await enter(page, await phoneCode("sms", e164(number("5634"))));
  await seen("done-phone");
  await page.goto(own(me, "help"));
  await seen("help-phones");
});

someone("called", { site: "phone", address: null, phone: "03-3456-7820" }, async (me, page, seen) => {
  await seen("ask-landline");
  await go(page, () => press(page, "verify/send"));
  await prove(page, me.phone);
  await expectPath(page, `${prefix}/verify/code`);
  await seen("code-call");
});

someone("number", { site: "phone", address: null }, async (me, page, seen, lang) => {
  await expectPath(page, `${prefix}/contacts/new`);
  await seen("add-kinds");
  await page.locator(".kinds a").nth(1).click();
  await page.waitForSelector("select");
  await seen("add-phone");
  const add = async (country, typed, channel = "sms") => {
    await page.selectOption("#country", country);
    await page.fill("#address", typed);
    if (channel) await page.check(`input[value=${channel}]`);
    return go(page, () => press(page, "contacts/new"));
  };
  for (const [country, typed, state] of [["JP", "", "empty"], ["JP", "090-1234-567", "number"], ["JP", "0990-123456", "kind"], ["JP", "+881612345678", "country"],
    ["JP", "090-1234-5678;ext=9", "extension"], ["FR", "01 23 45 67 89", "line"]]) {
    assert.equal((await add(country, typed, "voice")).status(), 422, typed);
    await expectError(page, lang);
    assert.equal(await page.inputValue("#address"), typed);
    assert.equal(await page.inputValue("#country"), country);
    assert.ok(await page.isChecked("input[value=voice]"), "the choice is kept");
    await seen(`add-phone-${state}`);
  }
  await add("FR", "06 12 34 57 78", "voice");
  await expectPath(page, `${prefix}/verify/code`);
  await seen("code-text-only");
  await page.goto(own(me, "contacts/new?kind=phone"));
  await add("JP", "050-1234-7820");
  await seen("code-call-only");
});

someone("lossy", { site: "phone", address: "hanako@docomo.ne.jp" }, async (me, page, seen) => {
  await go(page, () => press(page, "verify/send"));
  await seen("prove-lossy");
  await page.goto(own(me, "contacts/new"));
  await page.fill("#address", "hanako@softbank.ne.jp");
  assert.equal((await go(page, () => press(page, "contacts/new"))).status(), 200);
  assert.equal(await page.evaluate(() => document.activeElement?.id), "lossy", "the warning has the focus");
  await seen("add-lossy");
  await go(page, () => press(page, "contacts/new"));
  await expectPath(page, `${prefix}/verify/code`);
});

someone("nothing", { address: null }, async (me, page, seen) => {
  await expectPath(page, `${prefix}/contacts/new`);
  await seen("add-first");
});

someone("overdue", { site: "late" }, async (me, page, seen) => {
  await sleep(5200);
  await page.goto(me.origin + "/inbox?x=1");
  await seen("ask-overdue");
  await page.goto(own(me, "contacts/new"));
  await seen("add-overdue");
  await page.evaluate(() => {
    const form = document.createElement("form");
    form.method = "post";
    form.action = "/app/form";
    document.body.append(form);
    form.submit();
  });
  await page.waitForURL("**/app/form");
  await seen("notsent");
});

someone("toolate", { site: "late" }, async (me, page, seen) => {
  await sleep(5200);
  assert.equal((await go(page, () => press(page, "verify/later"))).status(), 403);
  await seen("trouble-toolate");
});

someone("held", {}, async (me, page, seen, lang) => {
  await askForCode(me);
  await enter(page, (await mail(me.address)).Code);
  // Another browser, where no code was entered: what is added there waits.
  const other = await person(me.user, { lang, address: me.address, width: 320 });
  await other.page.goto(own(other, "contacts/new"));
  await look(other.page, "add-hold", lang);
  await other.page.fill("#address", `held.${me.address}`);
  await go(other.page, () => press(other.page, "contacts/new"));
  await look(other.page, "code-hold", lang);
  await enter(other.page, (await mail(`held.${me.address}`)).Code);
  await look(other.page, "done-hold", lang);
  await other.context.close();
  assert.deepEqual(other.faults, []);
  await seen("done-again");
});

someone("trusted", { site: "device" }, async (me, page, seen, lang) => {
  await askForCode(me);
  const { Code: code } = await mail(me.address);
  assert.ok(!await page.isChecked("#trust"), "nobody is trusted by default");
  await page.check("#trust");
  assert.equal((await enter(page, code === "123456" ? "123457" : "123456")).status(), 422);
  assert.ok(await page.isChecked("#trust"), "the tick is kept");
  await seen("code-ticked");
  await enter(page, code);
  await expectPath(page, `${prefix}/done`);
  await seen("done-trusted");
  // Another browser of theirs.
  const other = await person(me.user, { site: "device", lang, address: me.address, width: 320 });
  await other.page.goto(other.origin + "/inbox");
  await expectPath(other.page, `${prefix}/verify`);
  await look(other.page, "ask-device", lang);
  await other.page.evaluate(() => {
    const form = document.createElement("form");
    form.method = "post";
    form.action = "/app/form";
    document.body.append(form);
    form.submit();
  });
  await other.page.waitForURL("**/app/form");
  await look(other.page, "notsent-device", lang);
  await other.page.goto(own(other, "contacts/new"));
  await look(other.page, "add-hold-device", lang);
  await other.page.fill("#address", `held.${me.address}`);
  await go(other.page, () => press(other.page, "contacts/new"));
  assert.equal(await other.page.locator("#trust").count(), 0, "no box that cannot count");
  await look(other.page, "code-hold-device", lang);
  await enter(other.page, (await mail(`held.${me.address}`)).Code);
  await look(other.page, "done-hold-device", lang);
  await other.page.goto(other.origin + "/inbox");
  await look(other.page, "ask-device-hold", lang);
  await other.page.goto(own(other, "fresh"));
  await look(other.page, "ask-fresh", lang);
  await go(other.page, () => press(other.page, "fresh"));
  await look(other.page, "prove-fresh", lang);
  await other.context.close();
  assert.deepEqual(other.faults, []);
  await page.goto(me.origin + "/inbox");
  await expectPath(page, "/inbox");
});

someone("app", { site: "totp" }, async (me, page, seen, lang) => {
  const confirmSetup = async (code) => {
    await page.fill("#code", code);
    return go(page, () => press(page, "authenticator/setup"));
  };
  await askForCode(me);
  await enter(page, (await mail(me.address)).Code);
  await expectPath(page, `${prefix}/authenticator`);
  await seen("offer");
  await go(page, () => page.click("button[value=now]"));
  await seen("setup");
  const key = (await page.locator("p.key bdi").textContent()).replaceAll(" ", "");
  assert.equal((await confirmSetup("wrong")).status(), 422);
  await expectError(page, lang);
  await seen("setup-wrong");
  assert.equal((await confirmSetup(appCode(key, 0))).status(), 200);
  await seen("recovery");
  const codes = await page.locator("ol.recovery bdi").allTextContents();
  const [file] = await Promise.all([page.waitForEvent("download"), press(page, "authenticator/download")]);
  assert.equal(file.suggestedFilename(), "recovery-codes.txt");
  const saved = await readFile(await file.path(), "utf8");
  assert.ok(codes.length === 10 && codes.every((c) => saved.includes(`${c}\n`)), saved);
  await go(page, () => page.click("main a.button"));
  await expectPath(page, `${prefix}/done`);
  // The page with the codes is not kept: going back to it asks for the form again, or shows what there is now.
  await page.goBack().catch(() => {});
  assert.ok(!(await content(page)).includes(codes[0]), "the codes are shown again");
  await page.goto(own(me, "authenticator"));
  await seen("app");

  // Another browser of theirs.
  const other = await person(me.user, { site: "totp", lang, address: me.address, width: 320 });
  await other.page.goto(other.origin + "/inbox");
  await look(other.page, "ask-device-app", lang);
  await go(other.page, () => form(other.page, "verify/send").filter({ has: other.page.locator("[value=authenticator]") }).locator("button").click());
  await look(other.page, "appcode", lang);
  assert.equal((await enter(other.page, "000000")).status(), 422);
  await expectError(other.page, lang);
  await look(other.page, "appcode-wrong", lang);
  await other.page.click("details.more summary");
  await other.page.fill("#recovery", "AAAAA-BBBBB");
  assert.equal((await go(other.page, () => other.page.locator("details.more button").click())).status(), 422);
  await expectError(other.page, lang);
  await look(other.page, "appcode-recovery", lang);
  await other.page.fill("#recovery", codes[0].toLowerCase());
  await go(other.page, () => other.page.locator("details.more button").click());
  await expectPath(other.page, `${prefix}/done`);
  await look(other.page, "done-app", lang);
  // To take the app away it asks for a code of a contact.
  await other.page.goto(own(other, "authenticator"));
  await go(other.page, () => press(other.page, "authenticator/remove"));
  await expectPath(other.page, `${prefix}/fresh`);
  await look(other.page, "ask-fresh-contact", lang);
  await other.context.close();
  assert.deepEqual(other.faults, []);

  await go(page, () => press(page, "authenticator/remove"));
  await seen("offer-removed");
});

someone("paused", { site: "totp" }, async (me, page, seen, lang) => {
  await askForCode(me);
  await enter(page, (await mail(me.address)).Code);
  await go(page, () => page.click("button[value=now]"));
  for (let i = 0; i < 5; i++) {
    await page.fill("#code", "wrong");
    await go(page, () => press(page, "authenticator/setup"));
  }
  await expectError(page, lang);
  await seen("setup-last");
  await page.fill("#code", "000000");
  assert.equal((await go(page, () => press(page, "authenticator/setup"))).status(), 429);
  await expectError(page, lang);
  await seen("setup-wait");
});

someone("lapsed", { site: "lapse" }, async (me, page, seen) => {
  await askForCode(me);
  await enter(page, (await mail(me.address)).Code);
  await sleep(4200);
  await page.goto(me.origin + "/");
  await expectPath(page, `${prefix}/verify`);
  await seen("ask-lapsed");
});

someone("help", {}, async (me, page, seen) => {
  await page.locator(`a[href^="${prefix}/help"]`).click();
  await expectPath(page, `${prefix}/help`);
  await seen("help");
});

someone("stale", {}, async (me, page, seen) => {
  await me.context.clearCookies({ name: /contactgate/ });
  assert.equal((await go(page, () => press(page, "verify/later"))).status(), 403);
  await seen("stale-cookies");
  await page.goto(own(me, "verify"));
  await page.locator("input[name=csrf]").evaluateAll((list) => list.forEach((i) => { i.value = "old"; }));
  assert.equal((await go(page, () => press(page, "verify/later"))).status(), 403);
  await seen("stale");
});

someone("lost", {}, async (me, page, seen) => {
  assert.equal((await page.goto(own(me, "nowhere"))).status(), 404);
  await seen("trouble-notfound");
  assert.equal((await page.goto(own(me, "verify/later"))).status(), 405);
  await seen("trouble-method");
});

test("the store is away", () => visit("away", { site: "down", lang: "ar", width: 320 }, async (me, page) => {
  assert.equal((await page.goto(me.origin + "/inbox")).status(), 503);
  await look(page, "trouble-unavailable", "ar");
}));

// These need the mail server to misbehave, for everybody: one after another, at the end.
for (const [fault, state, lang] of [["/refuse", "refused", "ja"], ["/unreachable", "unreachable", "ar"]]) {
  test(`mail ${state}`, () => visit(state, { lang, width: 320 }, async (me, page) => {
    await page.goto(me.origin + "/inbox");
    await control(fault);
    try {
      await go(page, () => press(page, "verify/send"));
      await page.fill("#proof", me.address);
      assert.equal((await go(page, () => press(page, "verify/send"))).status(), 503);
      await expectError(page, lang);
      await look(page, `ask-${state}`, lang);
      await page.goto(own(me, "contacts/new"));
      await page.fill("#address", `n.${me.address}`);
      assert.equal((await go(page, () => press(page, "contacts/new"))).status(), 503);
      await expectError(page, lang);
      await look(page, `add-${state}`, lang);
    } finally {
      await control("/behave");
    }
  }));
}
test("mail under way", () => visit("underway", { width: 320 }, async (me, page) => {
  await page.goto(me.origin + "/inbox");
  await control("/slow");
  try {
    await askForCode(me);
    await look(page, "code-underway", "en");
  } finally {
    await control("/behave");
  }
  await mail(me.address);
}));
