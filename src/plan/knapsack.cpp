#include "plan/knapsack.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace teeny {
namespace {

constexpr uint64_t kMostUnits = 1 << 16;
constexpr double kNever = std::numeric_limits<double>::infinity();

size_t smallest(const KnapsackItem& item) {  // of equals the better
  return size_t(std::min_element(item.begin(), item.end(), [](const auto& a, const auto& b) { return a.bytes != b.bytes ? a.bytes < b.bytes : a.loss < b.loss; }) - item.begin());
}

size_t best(const KnapsackItem& item) {  // of equals the smaller
  return size_t(std::min_element(item.begin(), item.end(), [](const auto& a, const auto& b) { return a.loss != b.loss ? a.loss < b.loss : a.bytes < b.bytes; }) - item.begin());
}

// Least loss for every number of units above the smallest choices.
class Table {
 public:
  Table(const std::vector<KnapsackItem>& items, uint64_t room) : items_(items) {
    uint64_t divisor = 0;
    for (const auto& item : items) {
      const uint64_t least = item[smallest(item)].bytes;
      base_ += least;
      for (const auto& option : item) divisor = std::gcd(divisor, option.bytes - least);
    }
    unit_ = std::max<uint64_t>({1, divisor, (room + kMostUnits - 1) / kMostUnits});
    const size_t units = size_t(room / unit_);
    loss_.assign(units + 1, 0);
    for (const auto& item : items) add(item);
  }

  size_t units() const { return loss_.size() - 1; }
  double loss(size_t units) const { return loss_[units]; }

  std::vector<size_t> choice(size_t units) const {
    std::vector<size_t> out(items_.size());
    for (size_t i = items_.size(); i-- > 0;) {
      out[i] = picks_[i][units];
      units -= cost(items_[i], out[i]);
    }
    return out;
  }

 private:
  size_t cost(const KnapsackItem& item, size_t option) const { return size_t((item[option].bytes - item[smallest(item)].bytes + unit_ - 1) / unit_); }

  void add(const KnapsackItem& item) {
    std::vector<double> next(loss_.size(), kNever);
    std::vector<uint16_t> pick(loss_.size(), 0);
    for (size_t o = 0; o < item.size(); ++o) {
      const size_t c = cost(item, o);
      for (size_t u = c; u < next.size(); ++u)
        if (const double loss = loss_[u - c] + item[o].loss; loss < next[u]) next[u] = loss, pick[u] = uint16_t(o);
    }
    loss_ = std::move(next);
    picks_.push_back(std::move(pick));
  }

  const std::vector<KnapsackItem>& items_;
  uint64_t unit_ = 1, base_ = 0;
  std::vector<double> loss_;
  std::vector<std::vector<uint16_t>> picks_;
};

// Changes of one option, and of two at once, while one of them lowers the loss and fits.
void exchange(const std::vector<KnapsackItem>& items, uint64_t most_bytes, std::vector<size_t>& choice) {
  struct Step {
    size_t item, option;
    int64_t bytes;
    double gain;
  };
  for (bool improved = true; improved;) {
    improved = false;
    const int64_t room = int64_t(most_bytes - bytes_of(items, choice));
    std::vector<Step> steps;
    for (size_t i = 0; i < items.size(); ++i)
      for (size_t o = 0; o < items[i].size(); ++o)
        if (o != choice[i]) steps.push_back({i, o, int64_t(items[i][o].bytes) - int64_t(items[i][choice[i]].bytes), items[i][choice[i]].loss - items[i][o].loss});
    double most = 0;
    std::pair<const Step*, const Step*> chosen{};
    // Sorted by bytes, the best partner within a step's room is a running maximum.
    std::sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.bytes != b.bytes ? a.bytes < b.bytes : a.gain > b.gain; });
    std::vector<std::pair<const Step*, const Step*>> richest(steps.size());  // the two best of different items up to each place
    for (size_t s = 0; s < steps.size(); ++s) {
      auto two = s ? richest[s - 1] : std::pair<const Step*, const Step*>{};
      if (!two.first || steps[s].gain > two.first->gain) {
        if (two.first && two.first->item != steps[s].item) two.second = two.first;
        two.first = &steps[s];
      } else if (steps[s].item != two.first->item && (!two.second || steps[s].gain > two.second->gain)) {
        two.second = &steps[s];
      }
      richest[s] = two;
    }
    for (const auto& step : steps) {
      if (step.bytes <= room && step.gain > most) most = step.gain, chosen = {&step, nullptr};
      const auto end = std::upper_bound(steps.begin(), steps.end(), room - step.bytes, [](int64_t bytes, const Step& s) { return bytes < s.bytes; });
      if (end == steps.begin()) continue;
      const auto& two = richest[size_t(end - steps.begin()) - 1];
      const Step* other = two.first && two.first->item != step.item ? two.first : two.second;
      if (other && step.gain + other->gain > most) most = step.gain + other->gain, chosen = {&step, other};
    }
    if (!chosen.first || most <= 1e-15) return;
    for (const Step* step : {chosen.first, chosen.second})
      if (step) choice[step->item] = step->option;
    improved = true;
  }
}

// Smaller options while the loss stays within the limit, the most bytes first.
void shrink(const std::vector<KnapsackItem>& items, double most_loss, std::vector<size_t>& choice) {
  for (;;) {
    const double loss = loss_of(items, choice);
    uint64_t most = 0;
    std::pair<size_t, size_t> step;
    for (size_t i = 0; i < items.size(); ++i)
      for (size_t o = 0; o < items[i].size(); ++o) {
        const auto &now = items[i][choice[i]], &then = items[i][o];
        if (then.bytes < now.bytes && now.bytes - then.bytes > most && loss - now.loss + then.loss <= most_loss) most = now.bytes - then.bytes, step = {i, o};
      }
    if (most == 0) return;
    choice[step.first] = step.second;
  }
}

}  // namespace

uint64_t bytes_of(const std::vector<KnapsackItem>& items, const std::vector<size_t>& choice) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < items.size(); ++i) bytes += items[i][choice[i]].bytes;
  return bytes;
}

double loss_of(const std::vector<KnapsackItem>& items, const std::vector<size_t>& choice) {
  double loss = 0;
  for (size_t i = 0; i < items.size(); ++i) loss += items[i][choice[i]].loss;
  return loss;
}

std::vector<size_t> least_loss(const std::vector<KnapsackItem>& items, uint64_t most_bytes) {
  uint64_t least = 0, all = 0;
  for (const auto& item : items) {
    least += item[smallest(item)].bytes;
    all += std::max_element(item.begin(), item.end(), [](const auto& a, const auto& b) { return a.bytes < b.bytes; })->bytes;
  }
  if (least > most_bytes) return {};
  const Table table(items, std::min(most_bytes, all) - least);
  auto choice = table.choice(table.units());
  exchange(items, most_bytes, choice);
  return choice;
}

std::vector<size_t> fewest_bytes(const std::vector<KnapsackItem>& items, double most_loss) {
  uint64_t least = 0, all = 0;
  double floor = 0;
  for (const auto& item : items) {
    least += item[smallest(item)].bytes;
    all += item[best(item)].bytes;
    floor += item[best(item)].loss;
  }
  if (floor > most_loss) return {};
  const Table table(items, all - least);
  for (size_t u = 0; u <= table.units(); ++u)
    if (table.loss(u) <= most_loss) {
      auto choice = table.choice(u);
      shrink(items, most_loss, choice);
      return choice;
    }
  std::vector<size_t> choice;  // rounding up left no unit: the best of all
  for (const auto& item : items) choice.push_back(best(item));
  shrink(items, most_loss, choice);
  return choice;
}

}  // namespace teeny
