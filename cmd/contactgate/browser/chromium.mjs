// Debian's Chromium, without what a test has no use for.
import { chromium } from "playwright-core";

export const launch = (...more) => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-quic", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    "--disable-site-isolation-trials", // with them each navigation starts a process of its own
    ...more,
  ],
});
