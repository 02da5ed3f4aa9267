"""The component of the page that sends the camera and the microphone.

It speaks with `stream.answer`, which tells what the messages are.
"""

from __future__ import annotations

import streamlit as st

_HTML = """
<button type="button">Start</button>
<p role="status"></p>
<canvas role="img" aria-label="The camera with what the model says of it"></canvas>
<video muted playsinline aria-hidden="true"></video>
"""
_CSS = """
button { font: inherit; padding: .4rem 1rem; border-radius: .5rem; cursor: pointer;
  border: 1px solid currentColor; background: none; color: inherit; }
button:focus-visible { outline: 3px solid var(--st-primary-color, #06c); outline-offset: 2px; }
canvas { display: block; width: 100%; max-width: 40rem; border-radius: .5rem; }
canvas:not(.on) { display: none; }
video { position: absolute; width: 1px; height: 1px; opacity: 0; pointer-events: none; }
"""
# What is under way is kept at the button: the page may call this again meanwhile. At most two
# pictures are under way, so a slow server gets fewer of them and not later ones.
_JS = """
const WORKLET = `registerProcessor('blocks', class extends AudioWorkletProcessor {
  constructor() { super(); this.block = new Float32Array(2048); this.filled = 0 }
  process([[channel]]) {
    if (!channel) return true
    this.block.set(channel, this.filled)
    this.filled += channel.length
    if (this.filled === this.block.length) {
      this.port.postMessage([currentTime + (channel.length - this.filled) / sampleRate, this.block])
      this.filled = 0
    }
    return true
  }
})`
const seconds = () => performance.now() / 1000

function connect(key, rate) {
  const url = new URL('live', location.origin + location.pathname.replace(/\\/?$/, '/'))
  url.protocol = url.protocol.replace('http', 'ws')
  const socket = new WebSocket(url)
  socket.binaryType = 'arraybuffer'
  socket.onopen = () => socket.send(JSON.stringify({ key, rate }))
  return socket
}

function send(socket, kind, time, bytes) {
  if (socket.readyState !== WebSocket.OPEN) return
  const message = new Uint8Array(9 + bytes.byteLength), head = new DataView(message.buffer)
  head.setUint8(0, kind)
  head.setFloat64(1, time)
  message.set(new Uint8Array(bytes), 9)
  socket.send(message)
}

function pictures(socket, video, canvas, stop) {
  const taken = document.createElement('canvas'), view = canvas.getContext('2d')
  let under_way = 0
  socket.onmessage = async ({ data }) => {
    if (typeof data === 'string') return socket.tell(data)
    under_way -= 1
    const picture = await createImageBitmap(new Blob([data]))
    if (!socket.onmessage) return picture.close()  // it was stopped meanwhile
    if (canvas.width !== picture.width) canvas.width = picture.width
    if (canvas.height !== picture.height) canvas.height = picture.height
    view.drawImage(picture, 0, 0)
    picture.close()
    canvas.classList.add('on')
  }
  return setInterval(() => {
    if (!video.isConnected) return stop()  // the page is gone
    if (under_way > 1 || !video.videoWidth || socket.readyState !== WebSocket.OPEN) return
    under_way += 1
    const time = seconds(), scale = Math.min(1, 640 / Math.max(video.videoWidth, video.videoHeight))
    taken.width = Math.round(video.videoWidth * scale)
    taken.height = Math.round(video.videoHeight * scale)
    taken.getContext('2d').drawImage(video, 0, 0, taken.width, taken.height)
    taken.toBlob(async (blob) => send(socket, 0, time, await blob.arrayBuffer()), 'image/jpeg', .8)
  }, 40)
}

async function sound(socket, audio, stream) {
  const module = URL.createObjectURL(new Blob([WORKLET], { type: 'text/javascript' }))
  await audio.audioWorklet.addModule(module)
  URL.revokeObjectURL(module)
  const blocks = new AudioWorkletNode(audio, 'blocks', { channelCount: 1,
    channelCountMode: 'explicit' })
  let offset = Infinity  // of the two clocks: the message that was fastest says it best
  blocks.port.onmessage = ({ data: [time, block] }) => {
    offset = Math.min(offset, seconds() - time - block.length / audio.sampleRate)
    send(socket, 1, time + offset, block.buffer)
  }
  audio.createMediaStreamSource(stream).connect(blocks)
}

export default function ({ parentElement, data }) {
  const [button, status, canvas, video] =
    ['button', 'p', 'canvas', 'video'].map((name) => parentElement.querySelector(name))
  button.key = data.key
  if (button.onclick) return
  const tell = (text) => { status.textContent = text }
  button.onclick = async () => {
    if (button.stop) return button.stop()
    let stream, socket, timer
    const audio = new AudioContext()
    const stop = button.stop = (text = '') => {
      if (button.stop !== stop) return
      button.stop = null
      button.textContent = 'Start'
      clearInterval(timer)
      if (socket) socket.onclose = socket.onmessage = null
      socket?.close()
      stream?.getTracks().forEach((track) => track.stop())
      audio.close()
      video.srcObject = null
      canvas.classList.remove('on')
      tell(text)
    }
    button.textContent = 'Stop'
    tell('Waiting for the camera.')
    try {
      const wanted = { width: { ideal: 640 }, frameRate: { ideal: 25, max: 30 } }
      stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: true })
      if (button.stop !== stop) return stream.getTracks().forEach((track) => track.stop())
      tell('Connecting.')
      socket = connect(button.key, audio.sampleRate)
      socket.tell = tell
      socket.onclose = ({ reason }) => stop(reason || 'The connection ended; press Start again.')
      timer = pictures(socket, video, canvas, stop)
      video.srcObject = stream
      await video.play()
      await audio.resume()
      await sound(socket, audio, stream)
    } catch (error) {
      stop(`No camera and microphone can be used: ${error.message}`)
    }
  }
}
"""


@st.cache_resource
def _component():
    return st.components.v2.component("emotion.camera", html=_HTML, css=_CSS, js=_JS)


def show(key: str) -> None:
    """Shows a button that starts the camera, and below it what comes back.

    Args:
        key: str, that of a `stream.Access`.
    """
    _component()(key="camera", data={"key": key})
