/** Sends a message to the test that runs this program: prints one line of JSON. */
export function say<Message>(message: Message): void {
  console.log(JSON.stringify(message))
}
