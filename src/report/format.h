// Numbers as people read them, and text made safe for the place it goes to.
#pragma once
#include <string>
#include <string_view>

#include "report/data.h"

namespace teeny::report {

std::string short_count(double n);                        // 7615616512 -> "7.6B"
std::string decimals(double value, int significant = 3);  // "0.0118", "104", "1.2e-05": never more than asked for
std::string nats(double value);                          // a KL divergence: three digits, two below 0.001
std::string percent(double share, int digits = 1);        // 0.731 -> "73.1 %"
std::string signed_percent(double share, int digits = 1); // "−3.7 %", with a true minus sign
std::string signed_points(double share);                  // "−3.7 pt"
std::string p_value(double p);                            // "0.012", "< 0.001"
std::string clip_text(std::string_view text, size_t characters);  // at most so many code points, "…" at a cut

std::string escape_html(std::string_view text);  // < > & " ' and control characters; bad UTF-8 replaced
std::string escape_markdown(std::string_view text);
std::string csv_cell(std::string_view text);     // RFC 4180, and a leading = + - @ disarmed

const char* name_of(Comparison comparison);

}  // namespace teeny::report
