/* Who asks too often is made to wait: guesses of tokens and keys, and what anybody may do that
 * costs something. By address; memory and time are bounded, and forgotten with the process. */
#ifndef CONTROL_THROTTLE_H
#define CONTROL_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sha256.h"

#define CTL_THROTTLE_WINDOW_MS 60000
#define CTL_THROTTLE_GUESSES 10 /* wrong secrets of an address, in such a time */

/* Whether a secret with this digest is not even looked at: too many wrong ones came from there, and
 * it was never right there. */
bool ctl_throttle_must_wait(const char *peer, const uint8_t digest[SV_SHA256_LEN]);
void ctl_throttle_note(const char *peer, const uint8_t digest[SV_SHA256_LEN], bool good);
/* One more of at most `most` in such a time. False: not now. */
bool ctl_throttle_take(const char *peer, unsigned most);

#endif
