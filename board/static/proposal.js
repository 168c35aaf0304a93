// The page of a proposal: shown anew when the stream names its incident. A reason that is being written is kept.
import { follow } from "./stream.js";

const proposal = () => document.getElementById("proposal");
const renew = () => htmx.trigger(proposal(), "renew");

follow({
  changed: (ids) => ids.includes(proposal().dataset.incident) && renew(),
  resync: renew,
});
