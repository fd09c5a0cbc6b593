//! Headless Chromium, told what to do by its DevTools protocol over a pipe
//! (chromedevtools.github.io/devtools-protocol, `--remote-debugging-pipe`).

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A page, and the browser that shows it.
pub(crate) struct Browser {
    chromium: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    session: Value,
    number: u64,
    /// What the page's console was told, and what went wrong in its script.
    complaints: Vec<String>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// With an empty page. It reads no page but ours, so it needs no sandbox of its own, which root cannot have.
    #[allow(
        clippy::disallowed_methods,
        reason = "a browser that looks at the page"
    )]
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        // The protocol is spoken over the descriptors 3 and 4.
        let script = "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut chromium = Command::new("sh")
            .args(["-c", script, "sh", "--headless", "--no-sandbox"])
            .args(["--disable-gpu", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut browser = Self {
            orders: chromium.stdin.take().unwrap(),
            answers: BufReader::new(chromium.stdout.take().unwrap()),
            chromium,
            session: Value::Null,
            number: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let target = browser.order("Target.createTarget", json!({ "url": "about:blank" }));
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session = browser.order("Target.attachToTarget", target)["sessionId"].clone();
        for domain in ["Runtime", "Log", "Page"] {
            browser.order(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// What the browser answers.
    #[track_caller]
    pub(crate) fn order(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut order = json!({ "id": self.number, "method": method, "params": parameters });
        if !self.session.is_null() {
            order["sessionId"] = self.session.clone();
        }
        write!(self.orders, "{order}\0").unwrap();
        loop {
            let said = self.hear();
            if said["id"] == self.number {
                assert!(said["error"].is_null(), "{method}: {said}");
                return said["result"].clone();
            }
        }
    }

    fn hear(&mut self) -> Value {
        let mut said = Vec::new();
        self.answers.read_until(0, &mut said).unwrap();
        assert_eq!(said.pop(), Some(0), "Chromium has ended");
        let said: Value = serde_json::from_slice(&said).unwrap();
        let parameters = &said["params"];
        match said["method"].as_str() {
            Some("Runtime.consoleAPICalled" | "Runtime.exceptionThrown") => {
                self.complaints.push(parameters.to_string());
            }
            Some("Log.entryAdded") => self.complaints.push(parameters["entry"].to_string()),
            _ => {}
        }
        said
    }

    /// What has been complained of since the last time.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    pub(crate) fn open(&mut self, url: &str) {
        self.order("Page.navigate", json!({ "url": url }));
    }

    fn evaluate(&mut self, expression: &str) -> Value {
        let wanted =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        self.order("Runtime.evaluate", wanted)
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let found = self.evaluate(expression);
        assert!(found["exceptionDetails"].is_null(), "{expression}: {found}");
        found["result"]["value"].clone()
    }

    /// Waits until an expression is true; what it looks at may not be there yet.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, expression: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.evaluate(expression)["result"]["value"] != true {
            let page = self.value("document.body?.innerText");
            assert!(
                Instant::now() < deadline,
                "not so: {expression} in:\n{page}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses and releases a key that has a name.
    pub(crate) fn press(&mut self, key: &str) {
        let text = if key == "Enter" { "\r" } else { "" };
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Tab" => 9,
            _ => 0,
        };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code });
            self.order("Input.dispatchKeyEvent", event);
        }
    }

    /// The size of its window in pixels, and what the system's colours are.
    pub(crate) fn look(&mut self, width: u32, height: u32, colours: &str) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.order("Emulation.setDeviceMetricsOverride", size);
        let features = json!([
            { "name": "prefers-color-scheme", "value": colours },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.order(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
    }

    /// A picture into the directory that PICTURES names, if any.
    pub(crate) fn picture(&mut self, name: &str) {
        let Some(pictures) = env::var_os("PICTURES") else {
            return;
        };
        let wanted = json!({ "format": "png", "captureBeyondViewport": false });
        let picture = self.order("Page.captureScreenshot", wanted);
        let picture = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::write(Path::new(&pictures).join(format!("{name}.png")), picture).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.chromium.kill();
        let _ = self.chromium.wait();
    }
}
