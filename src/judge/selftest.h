// Is the sandbox one? Programs that try what a sandbox must stop, judged like any other.
#pragma once
#include "judge/session.h"

namespace teeny::judge {

// {probe: "ok" | what happened}; `passed` tells whether every probe that matters for the tier was ok.
Json self_test(const SessionOptions& options, bool& passed);

// Whether the language's tools do their work here: a right program passes, a wrong one is called wrong.
Json language_self_test(const SessionOptions& options, bool& passed);

}  // namespace teeny::judge
