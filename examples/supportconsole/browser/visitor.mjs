// A browser with a new, empty profile.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axe from "axe-core";
import { chromium } from "playwright-core";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync"];
const wide = { width: 1280, height: 800 };
const narrow = { width: 390, height: 844 };
const tokenLike = /eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}|(?<![A-Za-z0-9_-])at_[A-Za-z0-9_-]{43}/;
const parts = (tokens) => tokens.flatMap((token) => token.split(".")).filter((part) => part.length >= 40);

export class Visitor {
	static async arrive(name) {
		const v = new Visitor();
		v.name = name;
		v.profile = mkdtempSync(join(tmpdir(), "console-browser-"));
		v.context = await chromium.launchPersistentContext(v.profile, { executablePath, args, viewport: wide, colorScheme: "light" });
		v.context.setDefaultTimeout(60000);
		v.page = v.context.pages()[0] ?? await v.context.newPage();
		v.got = []; // everything that the browser has been sent, has sent, has kept or has shown
		v.pending = [];
		v.unread = []; // responses that it left before they could be read
		v.complaints = [];
		v.context.on("response", (response) => {
			const remembered = v.remember(response);
			remembered.catch(() => {}); // it is thrown where it is waited for
			v.pending.push(remembered);
		});
		v.page.on("console", (message) => { if (message.type() === "error") v.complaints.push(message.text()); });
		v.page.on("pageerror", (error) => v.complaints.push(String(error)));
		console.log(`${name}: here`);
		return v;
	}

	async remember(response) {
		const headers = async (of) => (await of.allHeaders().catch(() => of.headers()));
		this.got.push(response.url(), JSON.stringify(await headers(response)), JSON.stringify(await headers(response.request())), response.request().postData() ?? "");
		if (response.status() >= 300 && response.status() <= 399) return;
		try {
			this.got.push((await response.body()).toString());
		} catch (error) {
			// A browser that has gone on no longer has it. The console records everything that it sends.
			if (!/No resource with given identifier|navigated away/.test(String(error))) throw error;
			this.unread.push(response.url());
		}
	}

	// keep records what the browser keeps and shows now.
	async keep() {
		await this.page.waitForLoadState("load");
		const here = await this.page.evaluate(async () => ({
			html: document.documentElement.outerHTML, cookie: document.cookie, name: window.name,
			local: { ...localStorage }, session: { ...sessionStorage }, databases: await indexedDB.databases(),
			workers: (await navigator.serviceWorker.getRegistrations()).length,
		}));
		assert.equal(here.cookie, "", "no script sees a cookie");
		assert.deepEqual([here.local, here.session, here.databases, here.workers], [{}, {}, [], 0], "nothing is stored");
		this.got.push(JSON.stringify(here), JSON.stringify(await this.context.cookies()), JSON.stringify(await this.context.storageState()));
	}

	async sees(text) {
		await this.page.getByText(text).first().waitFor();
		await this.keep();
	}

	// look has a page judged by axe-core, wide in light and narrow in dark colours, and photographed; nothing is wider than the
	// narrowest screen.
	async look(name) {
		const before = this.page.viewportSize();
		await this.page.evaluate(axe.source);
		for (const [size, viewport, colorScheme] of [["desktop", wide, "light"], ["phone", narrow, "dark"]]) {
			await this.page.setViewportSize(viewport);
			await this.page.emulateMedia({ colorScheme });
			const found = await this.page.evaluate(() => globalThis.axe.run(document, { preload: false, rules: { "target-size": { enabled: true } } }));
			const told = found.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.target + " " + n.failureSummary).join("; ")}`);
			assert.deepEqual(told, [], `${name}, ${size}, ${colorScheme}`);
			assert.ok(found.passes.length > 10);
			await this.page.emulateMedia({ colorScheme: "light" });
			await this.page.screenshot({ path: `build/${name}-${size}.png` });
		}
		await this.page.setViewportSize({ width: 320, height: 640 });
		const over = await this.page.evaluate(() => [...document.querySelectorAll("body *")].filter((e) => !e.closest(".hearable") && e.getBoundingClientRect().right > 320)
			.map((e) => `${e.tagName.toLowerCase()} ${e.className} to ${e.getBoundingClientRect().right}`));
		assert.deepEqual(over, [], `${name}: wider than 320 pixels`);
		await this.page.setViewportSize(before);
		await this.keep();
		console.log(`${this.name}: ${name}`);
	}

	// acting requires the banner, with both names, the reason and a running countdown.
	async acting(operator, user, reason) {
		const banner = this.page.locator("#banner");
		assert.match((await banner.innerText()).replace(/\s+/g, " "), new RegExp(`You, ${operator}, see this as ${user} Because: ${reason}`));
		const left = async () => {
			const [minutes, seconds] = (await this.page.locator("#left").innerText()).split(":");
			return 60 * Number(minutes) + Number(seconds);
		};
		const first = await left();
		assert.ok(first > 590 - 30 && first <= 600, `${first} seconds left`);
		await this.page.waitForTimeout(1300);
		assert.ok(await left() < first, "it counts down");
		await this.page.evaluate(() => scrollTo(0, document.body.scrollHeight));
		assert.ok(await banner.evaluate((b) => b.getBoundingClientRect().top >= 0), "it stays in view");
		await this.page.evaluate(() => scrollTo(0, 0));
	}

	// click and enter wait for the next page, which may have elements of the same name.
	click(locator) { return this.leading(() => locator.click()); }
	enter() { return this.leading(() => this.press("Enter")); }
	async leading(act) {
		await Promise.all(this.pending); // a browser forgets what it has been sent when it goes on
		await Promise.all([this.page.waitForEvent("load"), act()]);
	}
	press(key) { return this.page.keyboard.press(key); }
	type(text) { return this.page.keyboard.type(text); }

	// focused is the accessible name of the focused element, which must be visibly focused.
	focused() {
		return this.page.evaluate(() => {
			const e = document.activeElement;
			const name = e.getAttribute("aria-label") ?? (e.labels?.length ? e.labels[0].innerText : e.innerText);
			if (e.matches(":focus-visible")) {
				const box = e.getBoundingClientRect(), style = getComputedStyle(e);
				const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
				if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) throw new Error(`the focus on ${name} cannot be seen`);
				if (!e.contains(top)) throw new Error(`${name} has the focus, and something is over it`);
			}
			return name.replace(/\s+/g, " ").replace(/^[A-Z]{2} (?=[A-Z])/, "").trim();
		});
	}

	// focusIsOn waits until the page has set the focus, some time after loading.
	async focusIsOn(selector) {
		await this.page.waitForFunction((selector) => document.activeElement.matches(selector), selector);
	}

	// order is where the next presses of Tab lead.
	async order(count) {
		const names = [];
		for (let i = 0; i < count; i++) {
			await this.press("Tab");
			names.push(await this.focused());
		}
		return names;
	}

	// tabTo presses Tab until an element has the focus.
	async tabTo(name, most = 30) {
		const passed = [];
		for (let i = 0; i < most; i++) {
			const [now] = await this.order(1);
			if (name instanceof RegExp ? name.test(now) : now === name) return;
			passed.push(now);
		}
		assert.fail(`Tab leads to ${passed.join(", ")} and not to ${name}`);
	}

	// leave closes the browser. No token may be in what it got, nor in what is left of it on disk; and it must have had
	// nothing to complain of but what is expected.
	async leave(expected) {
		await this.keep();
		await Promise.all(this.pending);
		await this.context.close();
		const tokens = await (await fetch(process.env.CONTROL + "/tokens")).json();
		assert.ok(this.unread.length <= 3, `not read: ${this.unread}`);
		const all = this.got.join("\n");
		for (const known of ["Alice Archer", "__Host-console-session", "script-src 'self'", "code_challenge"]) assert.ok(all.includes(known), `${known} has not been seen: what is looked at is not all`);
		assert.ok(tokens.length > 2);
		for (const part of parts(tokens)) assert.ok(!all.includes(part), "a token has reached the browser");
		assert.doesNotMatch(all, tokenLike);
		for (const file of readdirSync(this.profile, { recursive: true }).map((name) => join(this.profile, name)).filter((name) => statSync(name).isFile())) {
			const text = readFileSync(file, "latin1");
			for (const part of parts(tokens)) assert.ok(!text.includes(part), `a token is in ${file}`);
		}
		rmSync(this.profile, { recursive: true, force: true });
		assert.deepEqual(this.complaints.filter((c) => !expected.some((e) => c.includes(e))), []);
		console.log(`${this.name}: done, ${tokens.length} tokens and none of them in ${all.length} characters`);
	}
}
