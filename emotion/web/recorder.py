"""The component of the page that records the camera and the microphone."""

from __future__ import annotations

import base64
from typing import Any

import streamlit as st

_HTML = """
<button type="button">Record</button>
<p role="status"></p>
<video muted playsinline aria-label="Your camera"></video>
"""
_CSS = """
button { font: inherit; padding: .4rem 1rem; border-radius: .5rem; cursor: pointer;
  border: 1px solid currentColor; background: none; color: inherit; }
button:focus-visible { outline: 3px solid var(--st-primary-color, #06c); outline-offset: 2px; }
video { display: block; width: 100%; max-width: 24rem; border-radius: .5rem; }
video:not([src]):not(.on) { display: none; }
"""
# What is under way is kept at the button: the page may call this again meanwhile.
_JS = """
export default function ({ parentElement, setTriggerValue, data }) {
  const [button, status, video] =
    ['button', 'p', 'video'].map((name) => parentElement.querySelector(name))
  if (button.onclick) return
  button.onclick = async () => {
    if (button.recorder) return button.recorder.stop()
    let stream
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: true })
    } catch (error) {
      status.textContent = `No camera and microphone can be used: ${error.message}`
      return
    }
    const parts = [], recorder = new MediaRecorder(stream)
    recorder.ondataavailable = (event) => parts.push(event.data)
    recorder.onstop = () => {
      clearTimeout(button.limit)
      stream.getTracks().forEach((track) => track.stop())
      video.srcObject = button.recorder = null
      video.classList.remove('on')
      button.textContent = 'Record'
      status.textContent = 'Recorded.'
      const reader = new FileReader()
      reader.onload = () => setTriggerValue('recording', reader.result)
      reader.readAsDataURL(new Blob(parts))
    }
    button.recorder = recorder
    recorder.start()
    button.limit = setTimeout(() => recorder.stop(), 1000 * data.seconds)
    button.textContent = 'Stop'
    status.textContent = `Recording, for ${data.seconds} seconds at most.`
    video.classList.add('on')
    video.srcObject = stream
    await video.play()
  }
}
"""


@st.cache_resource
def _component():
    return st.components.v2.component("emotion.recorder", html=_HTML, css=_CSS, js=_JS)


def show(seconds: int, name: str) -> Any:
    """Shows the button.

    Args:
        seconds: int, the longest recording.
        name: str, the part of the visitor's session that takes what is recorded: bytes of WebM or
            MP4, as the browser makes it.
    """
    state = _component()(
        key="recorder", data={"seconds": seconds}, on_recording_change=lambda: None
    )
    if state.recording:
        st.session_state[name] = base64.b64decode(state.recording.partition(",")[2])
