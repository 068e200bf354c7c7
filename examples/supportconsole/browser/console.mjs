// Clicks and types through the console in Chromium. Everything that the browser gets, keeps or shows
// is recorded, and must not contain a token. axe-core checks every page, light and dark, wide and
// narrow.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { Visitor } from "./visitor.mjs";

const console_ = process.env.CONSOLE;
const late = process.env.CONSOLE_LATE; // a second console, whose clock can be moved
const reason = "Ticket 4711: an order is missing";
mkdirSync("build", { recursive: true });

async function signIn(v, url) {
	await v.page.goto(url);
	await v.click(v.page.getByRole("button", { name: "Sign in" }));
	await v.page.getByLabel("User name").fill("ines");
	await v.page.getByLabel("Password").fill("ines-demo-password");
	await v.click(v.page.getByRole("button", { name: "Log in" }));
	await v.sees("Whom do you want to help?");
}

async function choose(v, name, access) {
	await v.page.getByLabel("Name or user id").fill(name);
	await v.click(v.page.getByRole("button", { name: "Search" }));
	await v.click(v.page.locator("main a").first());
	await v.page.getByLabel("Why do you need to?").fill(reason);
	await v.page.getByLabel(access).check();
}

// acting is the number of active tokens that name two people.
const acting = async () => (await fetch(process.env.CONTROL + "/acting")).json();

const begin = (v) => v.click(v.page.getByRole("button", { name: "Start" }));

async function withTheMouse() {
	const v = await Visitor.arrive("with the mouse");
	await v.page.goto(console_);
	await v.look("sign-in");
	await v.click(v.page.getByRole("button", { name: "Sign in" }));
	await v.page.getByLabel("User name").fill("ines");
	await v.page.getByLabel("Password").fill("wrong");
	await v.click(v.page.getByRole("button", { name: "Log in" }));
	await v.sees("The user name or the password is wrong");
	await v.look("password");
	await v.page.getByLabel("Password").fill("ines-demo-password");
	await v.click(v.page.getByRole("button", { name: "Log in" }));
	await v.sees("Whom do you want to help?");
	const session = (await v.context.cookies(console_)).find((c) => c.name === "__Host-console-session");
	assert.ok(session.httpOnly && session.secure && session.sameSite === "Lax" && session.expires === -1 && session.domain === "127.0.0.1");
	await v.look("search");

	// Refusals.
	await choose(v, "adam", "To look – nothing can be changed");
	await v.look("reason");
	await begin(v);
	await v.sees("Adam Admin has rights over others, by the role administrator.");
	assert.equal(await v.page.getByLabel("Why do you need to?").inputValue(), reason);
	await v.look("refused");
	await v.click(v.page.getByRole("link", { name: "Choose somebody else" }));
	await choose(v, "lola", "To look – nothing can be changed");
	await begin(v);
	await v.sees("The account of Lola Locked is locked");
	await v.click(v.page.getByRole("link", { name: "Support console" }));
	await choose(v, "carol", "To look – nothing can be changed"); // in no list; the link goes on with the id
	await begin(v);
	await v.sees("If a user of another organization has it, your role, support, does not reach them.");
	await v.look("refused-elsewhere");

	// Act, change something, stop.
	await v.click(v.page.getByRole("link", { name: "Choose somebody else" }));
	await v.page.getByLabel("Name or user id").fill("ali");
	await v.click(v.page.getByRole("button", { name: "Search" }));
	await v.sees("1 found for “ali”");
	await v.click(v.page.getByRole("link", { name: "Alice Archer" }));
	await v.page.getByRole("button", { name: "Start" }).click();
	assert.ok(await v.page.getByLabel("Why do you need to?").evaluate((input) => input.matches(":invalid") && input === document.activeElement),
		"without a reason nothing is sent");
	await v.page.getByLabel("Why do you need to?").fill(reason);
	await v.page.getByLabel("To look and to change things").check();
	await begin(v);
	await v.sees("Hello Alice Archer, these are your orders");
	await v.acting("Ines Support", "Alice Archer", reason);
	assert.equal(await acting(), 1);
	await v.look("acting");
	await v.click(v.page.getByRole("button", { name: "Cancel order 1047" }));
	await v.sees("You have cancelled order 1047 for Alice Archer.");
	await v.sees("POST /orders/1047/cancel done");
	await v.look("changed");
	await v.click(v.page.getByRole("button", { name: "Stop now" }));
	await v.sees("You no longer act for Alice Archer. The authorization server confirms that the access is no longer valid.");
	assert.equal(await acting(), 0, "ended, and not only forgotten");
	await v.look("stopped");
	await v.page.goBack();
	await v.sees("Whom do you want to help?");
	assert.equal(await v.page.locator("#banner").count(), 0, "going back shows nothing of what has ended");
	await v.click(v.page.getByRole("button", { name: "Sign out" }));
	await v.sees("You have signed out.");
	assert.ok(!(await v.context.cookies(console_)).some((c) => c.name.startsWith("__Host-")));
	await v.page.goto(console_ + "/nowhere");
	await v.sees("There is no such page");
	await v.look("nowhere");
	await v.leave(["status of 403", "status of 404"]);
}

async function withTheKeyboard() {
	const v = await Visitor.arrive("with the keyboard alone");
	const why = "Ticket 4712: by keyboard";
	await v.page.goto(console_);
	assert.deepEqual(await v.order(3), ["Skip to the content", "Support console", "Sign in"]);
	await v.enter();
	await v.sees("Password");
	await v.focusIsOn("#username");
	await v.type("ines");
	await v.tabTo("Password");
	await v.type("ines-demo-password");
	await v.enter();
	await v.sees("Whom do you want to help?");
	assert.deepEqual(await v.order(6), ["Skip to the content", "Support console", "Sign out", "Name or user id", "Search", "Alice Archer alice · Acme"]);

	// The skip link leads past everything that is the same on every page.
	await v.page.reload();
	await v.tabTo("Skip to the content");
	await v.press("Enter");
	await v.tabTo("Name or user id", 1);
	await v.type("dora");
	await v.enter();
	await v.sees("1 found for “dora”");
	await v.tabTo(/^Dora Disabled/);
	await v.enter();
	await v.tabTo("Why do you need to?");
	await v.type(why);
	await v.enter();
	await v.sees("The account of Dora Disabled is disabled");
	await v.focusIsOn(".problem"); // the refusal is where the reader is
	await v.tabTo("← Choose somebody else", 1);
	await v.enter();

	await v.tabTo(/^Alice Archer/);
	await v.enter();
	await v.tabTo("Why do you need to?");
	await v.type(why);
	await v.tabTo("To look – nothing can be changed", 1);
	await v.press("ArrowDown");
	assert.equal(await v.focused(), "To look and to change things – as far as Alice Archer may");
	await v.tabTo("Start", 1);
	await v.enter();
	await v.sees("Hello Alice Archer, these are your orders");
	await v.acting("Ines Support", "Alice Archer", why);
	await v.tabTo("Cancel order 1042");
	await v.enter();
	await v.sees("You have cancelled order 1042 for Alice Archer.");
	await v.focusIsOn(".notice");
	await v.page.reload();
	assert.deepEqual(await v.order(4), ["Skip to the content", "Support console", "Sign out", "Stop now"], "to stop is near");
	await v.enter();
	await v.sees("You no longer act for Alice Archer.");
	assert.equal(await acting(), 0, "ended, and not only forgotten");
	await v.focusIsOn(".notice");
	await v.tabTo("Sign out");
	await v.enter();
	await v.sees("You have signed out.");
	await v.leave(["status of 403"]);
}

// On a phone, without stopping: some moments are announced, and at the end the page leaves by itself.
async function untilTheTimeIsUp() {
	const v = await Visitor.arrive("until the time is up");
	await v.page.setViewportSize({ width: 390, height: 844 });
	await signIn(v, late);
	await choose(v, "alice", "To look – nothing can be changed");
	await v.page.clock.install();
	await begin(v);
	await v.sees("Hello Alice Archer, these are your orders");
	const said = () => v.page.evaluate(() => globalThis.said);
	await v.page.evaluate(() => {
		globalThis.said = [];
		const spoken = document.getElementById("spoken");
		new MutationObserver(() => globalThis.said.push(spoken.textContent)).observe(spoken, { childList: true });
	});
	await v.page.clock.runFor("04:30");
	assert.deepEqual(await said(), [], "nothing is spoken every second");
	await v.page.clock.runFor("00:45");
	assert.deepEqual(await said(), ["Five minutes left."], "once");
	assert.equal(await v.page.locator("#banner.soon").count(), 0);
	await v.page.clock.fastForward("03:50"); // as where the page sleeps
	assert.deepEqual(await said(), ["Five minutes left.", "One minute left."]);
	assert.equal(await v.page.locator("#banner.soon").count(), 1);
	await v.look("soon-over");
	await fetch(process.env.CONTROL + "/ten-minutes-later", { method: "POST" });
	await v.page.clock.runFor("01:00");
	await v.sees("The time is up: you no longer act for Alice Archer.");
	await v.look("time-is-up");
	await v.click(v.page.getByRole("button", { name: "Sign out" }));
	await v.sees("You have signed out.");
	await v.leave([]);
}

const begun = performance.now();
await Promise.all([untilTheTimeIsUp(), withTheMouse().then(withTheKeyboard)]);
console.log(`all of it took ${Math.round((performance.now() - begun) / 1000)} s`);
