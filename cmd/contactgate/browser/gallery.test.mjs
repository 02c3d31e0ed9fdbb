// Every page in every state that pages/ has a sample of, and every mail, from their golden files: see ../gallery_test.go. With
// CONTACTGATE_SCREENSHOTS=FOLDER pictures are kept: of each in three languages, in light and dark, at 320 and 1280 px.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fits, locales, look, lookInTheDark, shoot, stage, wall } from "./lib.mjs";

const { gallery } = stage;
const langs = Object.keys(locales);

async function hang(name, lang) {
  const page = await wall(lang);
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  const answer = await page.goto(`${gallery.URL}/${lang}/${name}`);
  assert.equal(answer.status(), 200);
  return page;
}

async function picture(page, name, lang) {
  if (!stage.screenshots) return;
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const width of [1280, 320]) {
      await page.setViewportSize({ width, height: 800 });
      await shoot(page, name, lang, scheme, width);
    }
  }
}

for (const [index, name] of gallery.Pages.entries()) {
  test(name, () => Promise.all(langs.map(async (lang, turn) => {
    const page = await hang(name, lang);
    // What axe asks about is the same in all languages: each state is asked once, and the languages take turns.
    const rules = index % langs.length === turn;
    await look(page, name, lang, { rules });
    if (rules) await lookInTheDark(page, name);
    await picture(page, name, lang);
  })));
}

for (const name of gallery.Mails) {
  test(name, () => Promise.all(langs.map(async (lang) => {
    const page = await hang(name, lang);
    assert.deepEqual(await fits(page), [], lang);
    await picture(page, name, lang);
  })));
}

test("in ten languages nothing is too long for a phone", async () => {
  const page = await wall("en");
  const complaints = [];
  for (const name of gallery.Others) {
    await page.goto(`${gallery.URL}/${name}`);
    complaints.push(...(await fits(page)).map((c) => `${name}: ${c}`));
  }
  assert.deepEqual(complaints, []);
});

test("what opens on a page fits, too", async () => {
  for (const [name, opens] of [["code", "details.languages"], ["details", "details"], ["appcode", "details"]]) {
    const page = await hang(name, "ar");
    await page.locator(opens).evaluateAll((list) => list.forEach((d) => { d.open = true; }));
    assert.ok(await page.locator("details[open] :is(button, .hint)").last().isVisible());
    await look(page, `${name}-open`, "ar");
    await lookInTheDark(page, `${name}-open`);
    await picture(page, `${name}-open`, "ar");
  }
});
