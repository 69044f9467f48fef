#include "text/nfc.h"

#include <limits>
#include <memory>

#if TEENY_ICU
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uniset.h>
#endif

#include "teeny/core/error.h"
#include "text/unicode_tables.h"

namespace teeny {
namespace {

#if TEENY_ICU
class Normalizer {
 public:
  Normalizer() {
    UErrorCode status = U_ZERO_ERROR;
    const auto pattern = icu::UnicodeString::fromUTF8(std::string("[:age=") + kNfcAge + ":]");
    known_ = std::make_unique<icu::UnicodeSet>(pattern, status);
    const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(status);
    if (U_FAILURE(status)) throw device_error("text", "ICU", "cannot load NFC: {}; is ICU installed with its data?", u_errorName(status));
    known_->freeze();
    filtered_ = std::make_unique<icu::FilteredNormalizer2>(*nfc, *known_);
  }
  bool is_normalized(icu::StringPiece text) const {
    UErrorCode status = U_ZERO_ERROR;
    const bool yes = filtered_->isNormalizedUTF8(text, status);
    return yes && U_SUCCESS(status);
  }
  void normalize(icu::StringPiece text, std::string& out) const {
    UErrorCode status = U_ZERO_ERROR;
    icu::StringByteSink<std::string> sink(&out);
    filtered_->normalizeUTF8(0, text, sink, nullptr, status);
    if (U_FAILURE(status)) throw device_error("text", "ICU", "NFC failed: {}", u_errorName(status));
  }

 private:
  std::unique_ptr<icu::UnicodeSet> known_;
  std::unique_ptr<icu::FilteredNormalizer2> filtered_;
};
#endif

// Every code point below U+0300 is a starter that composes with nothing before it, so text made of them is in NFC; in
// UTF-8 they are the ones whose bytes are all below 0xCC.
bool needs_look(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) >= 0xCC) return true;
  return false;
}

}  // namespace

std::string_view normalize_nfc(std::string_view text, std::string& storage) {
  if (!needs_look(text)) return text;
  if (text.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()) / 4)
    throw input_error("text", "text", "{} bytes between two special tokens are too many to normalize; split the text", text.size());
#if TEENY_ICU
  static const Normalizer normalizer;
  const icu::StringPiece piece(text.data(), static_cast<int32_t>(text.size()));
  if (normalizer.is_normalized(piece)) return text;
  storage.clear();
  normalizer.normalize(piece, storage);
  return storage;
#else
  storage.clear();
  throw device_error("text", "NFC", "this teeny was built without ICU and cannot normalize text beyond U+02FF; install libicu-dev and build again");
#endif
}

}  // namespace teeny
