//! A real Chromium, driven by WebDriver (its Debian package `chromium-driver`), on a host of the stage.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use host::lab::Host;
use serde_json::{Value, json};

use crate::stage_support::{PATIENCE, installed};

/// chromedriver's port, on the host's own loopback.
const PORT: u16 = 9515;
/// How WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window; ended when dropped.
pub(crate) struct Browser {
    driver: Child,
    host: Host,
    session: String,
}

impl Browser {
    /// Starts one on a host; nothing where it is not installed.
    pub(crate) fn start(host: &Host, directory: &Path) -> Option<Self> {
        let (chromium, program) = (installed("chromium")?, installed("chromedriver")?);
        let profile = directory.join("browser");
        fs::create_dir_all(&profile).expect("a directory");
        let up = host.command("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.is_ok_and(|status| status.success()), "the host has a loopback");
        let mut command = host.command(program);
        command.arg(format!("--port={PORT}")).env("HOME", &profile).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut driver = command.stderr(Stdio::null()).spawn().expect("chromedriver runs");
        let said = BufReader::new(driver.stdout.take().expect("piped"));
        let ready = said.lines().map_while(Result::ok).any(|line| line.contains("started successfully"));
        assert!(ready, "chromedriver is ready");
        let mut this = Self { driver, host: host.clone(), session: String::new() };
        let arguments = [
            "--headless=new".to_owned(),
            // In the test's own namespaces there is nothing that a sandbox of its own could be made of.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--user-data-dir={}", profile.join("profile").display()),
        ];
        let options = json!({ "binary": chromium, "args": arguments });
        let wanted = json!({ "acceptInsecureCerts": true, "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" } });
        let begun = this.ask("POST", "/session", &json!({ "capabilities": { "alwaysMatch": wanted } }));
        this.session = begun["sessionId"].as_str().unwrap_or_else(|| panic!("no browser: {begun}")).to_owned();
        Some(this)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = self.host.run(move || {
            let mut stream = TcpStream::connect(("127.0.0.1", PORT)).expect("chromedriver listens");
            stream.set_read_timeout(Some(PATIENCE * 2)).expect("a timeout");
            stream.write_all(text.as_bytes()).expect("it is sent");
            let mut reader = BufReader::new(stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("an answer");
                let line = line.trim().to_lowercase();
                if line.is_empty() {
                    break;
                }
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("all of it");
            body
        });
        let answer: Value = serde_json::from_slice(&answer.expect("the host runs")).expect("JSON");
        answer["value"].clone()
    }

    fn on_page(&self, method: &str, path: &str, body: &Value) -> Value {
        let value = self.ask(method, &format!("/session/{}{path}", self.session), body);
        assert!(value.get("error").is_none(), "{path}: {} {}", value["error"], value["message"]);
        value
    }

    /// Goes to an address.
    pub(crate) fn go(&self, address: &str) {
        self.on_page("POST", "/url", &json!({ "url": address }));
    }

    /// Runs a script in the page and gives what it returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.on_page("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a script returns something true, without asking from outside: the page looks at each of its frames.
    pub(crate) fn wait(&self, what: &str, condition: &str) -> Value {
        let script = format!(
            "const done = arguments[0]; const begun = Date.now(); \
             const look = () => {{ let found; try {{ found = (() => {{ {condition} }})(); }} catch (error) {{ found = null; }} \
             if (found || Date.now() - begun > {patience}) done(found || null); else setTimeout(look, 10); }}; look();",
            patience = PATIENCE.as_millis()
        );
        self.on_page("POST", "/timeouts", &json!({ "script": PATIENCE.as_millis() * 2 }));
        let path = format!("/session/{}/execute/async", self.session);
        let begun = Instant::now();
        let found = loop {
            let found = self.ask("POST", &path, &json!({ "script": script, "args": [] }));
            // Another page came meanwhile, and with it the end of the script: it begins again there.
            if found.get("error").is_none() {
                break found;
            }
            assert!(begun.elapsed() < PATIENCE, "never: {what}: {found}");
        };
        assert!(!found.is_null(), "never: {what}; the page: {}", self.text());
        found
    }

    fn find(&self, css: &str) -> String {
        let begun = Instant::now();
        loop {
            let path = format!("/session/{}/element", self.session);
            let found = self.ask("POST", &path, &json!({ "using": "css selector", "value": css }));
            if let Some(id) = found[ELEMENT].as_str() {
                return id.to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "no {css} on the page: {}", self.text());
        }
    }

    /// Clicks what a selector finds.
    pub(crate) fn click(&self, css: &str) {
        let id = self.find(css);
        self.on_page("POST", &format!("/element/{id}/click"), &json!({}));
    }

    /// Types into a field, in place of what is in it.
    pub(crate) fn fill(&self, css: &str, text: &str) {
        let id = self.find(css);
        self.on_page("POST", &format!("/element/{id}/clear"), &json!({}));
        self.on_page("POST", &format!("/element/{id}/value"), &json!({ "text": text }));
    }

    /// Presses keys where the focus is.
    pub(crate) fn press(&self, keys: &str) {
        let each: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() })))
            .collect();
        self.on_page("POST", "/actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": each }] }));
    }

    /// The page's text, as it is seen.
    pub(crate) fn text(&self) -> String {
        let path = format!("/session/{}/execute/sync", self.session);
        let text = self.ask("POST", &path, &json!({ "script": "return document.body.innerText", "args": [] }));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Sends a command of Chromium's own protocol.
    pub(crate) fn tell(&self, command: &str, parameters: &Value) -> Value {
        self.on_page("POST", "/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// A window so wide, light or dark.
    pub(crate) fn look(&self, width: u32, scheme: &str) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.tell("Emulation.setDeviceMetricsOverride", &size);
        let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.tell("Emulation.setEmulatedMedia", &feature);
    }

    /// The whole page as a picture, base64.
    pub(crate) fn picture(&self) -> String {
        let shot = self.tell("Page.captureScreenshot", &json!({ "captureBeyondViewport": true }));
        shot["data"].as_str().unwrap_or_default().to_owned()
    }

    /// What the browser complained of since the last time: scripts' errors and what the policy forbade.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.on_page("POST", "/se/log", &json!({ "type": "browser" }));
        let lines = log.as_array().cloned().unwrap_or_default();
        lines.iter().filter_map(|line| line["message"].as_str().map(str::to_owned)).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _gone = self.ask("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        let _asked = Command::new("kill").arg(self.driver.id().to_string()).status();
        let _ended = self.driver.wait();
    }
}
