#include "teeny/record/record.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "record/energy.h"
#include "record/nvml.h"
#include "sample_records.h"
#include "schema.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny {
namespace {
namespace fs = std::filesystem;
using testing::SampleRecords;
using testing::Schema;

struct Scratch {
  std::string path;
  Scratch() {
    std::string name = ::testing::TempDir() + "teeny_record_XXXXXX";
    path = ::mkdtemp(name.data()) ? name : "";
  }
  ~Scratch() { fs::remove_all(path); }
  std::string operator/(const std::string& name) const { return path + "/" + name; }
};

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::Input);
    return e.what();
  }
  return "";
}

TEST(Record, StartsWithEverythingAndFinishes) {
  RunRecord run("doctor", {"teeny", "doctor"}, 7);
  Context context;
  context.warn("calibration-short", "The text is short.");
  run.finish(context);
  Json record = run.json();
  record["doctor"] = {{"checks", Json::array()}};
  EXPECT_EQ(Schema::results().explain(record), "");
  EXPECT_EQ(record["seed"], 7);
  EXPECT_EQ(record["args"], Json::array({"teeny", "doctor"}));
  EXPECT_EQ(record["warnings"][0]["code"], "calibration-short");
  EXPECT_GE(record["seconds"].get<double>(), 0);
  EXPECT_GT(record["machine"]["memory_bytes"].get<uint64_t>(), 1u << 28);
  EXPECT_GE(record["machine"]["cores"].get<int>(), 1);
  EXPECT_TRUE(std::regex_match(record["started"].get<std::string>(), std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)")));
  EXPECT_NO_THROW(check_record(record, "own"));
}

TEST(Nvml, CudasNumbersAreOthersWhenGpusAreHidden) {
  const std::vector<std::string> uuids{"GPU-aaaa1", "GPU-bbbb2", "GPU-bbbc3"};
  EXPECT_EQ(visible_gpu("2,0", 0, uuids), 2u);
  EXPECT_EQ(visible_gpu("2,0", 1, uuids), 0u);
  EXPECT_EQ(visible_gpu("2,0", 2, uuids), std::nullopt);
  EXPECT_EQ(visible_gpu("GPU-bbbc,1", 0, uuids), 2u);
  EXPECT_EQ(visible_gpu("GPU-bbbc,1", 1, uuids), 1u);
  EXPECT_EQ(visible_gpu("0,7,1", 1, uuids), std::nullopt);  // 7 ends the list
  EXPECT_EQ(visible_gpu("0,7,1", 2, uuids), std::nullopt);
  EXPECT_EQ(visible_gpu("NoDevFiles", 0, uuids), std::nullopt);
  EXPECT_EQ(visible_gpu("-1", 0, uuids), std::nullopt);
}

TEST(Record, KeepsTheEnergyThatABetterMeterWrote) {
  RunRecord run("bench", {}, 0);
  run.json()["energy"] = {{"source", "nvml-counter"}, {"joules", 12.5}, {"idle_w", 70}};
  run.finish(Context());
  EXPECT_EQ(run.json()["energy"]["source"], "nvml-counter");
}

TEST(Record, UnwrapsEnergyCounters) {
  EXPECT_FALSE(rapl_joules({}, {}));
  EXPECT_FALSE(rapl_joules({1}, {1, 2}));
  EXPECT_DOUBLE_EQ(*rapl_joules({1'000'000, 5}, {3'500'000, 5}), 2.5);
}

TEST(Record, IdsAreUniqueAndSortByTime) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(new_record_id());
  EXPECT_EQ(ids.size(), 1000u);
  EXPECT_TRUE(std::regex_match(*ids.begin(), std::regex(R"(\d{8}-\d{9}-[0-9a-f]{8})")));
}

TEST(Record, MemoryPeaksAreSeen) {
  sample_memory();
  const uint64_t before = peak_anonymous_bytes();
  EXPECT_GT(before, 0u);
  {
    std::vector<char> block(64 << 20, 1);
    sample_memory();
    EXPECT_GE(block[12345], 1);
  }
  sample_memory();
  EXPECT_GE(peak_anonymous_bytes(), before + (60u << 20));
  EXPECT_GE(peak_host_bytes(), 60u << 20);
}

TEST(Record, SavesAndLoads) {
  Scratch scratch;
  const Json sample = SampleRecords::all()[1];
  const std::string path = save_record(sample, scratch / "runs/deep");
  EXPECT_EQ(path, scratch / "runs/deep/" + sample["command"].get<std::string>() + "-" + sample["id"].get<std::string>() + ".json");
  save_record(SampleRecords::all()[2], scratch / "runs/deep");
  const auto loaded = load_records({scratch / "runs/deep", path});  // a record named twice counts once
  ASSERT_EQ(loaded.size(), 2u);
  EXPECT_TRUE(loaded[0] == sample || loaded[1] == sample);
  Json hostile = sample;
  hostile["id"] = "../../escape";
  EXPECT_THROW(save_record(hostile, scratch.path), Error);
}

// One run of eval over several models: one file, as many records.
TEST(Record, FurtherModelsOfARunAreRecordsOfTheirOwn) {
  Scratch scratch;
  std::vector<Json> evals;
  for (const Json& r : SampleRecords::all())
    if (r.contains("eval")) evals.push_back(r);
  Json run = evals[0];
  run["variants"] = {evals[1], evals[2]};
  EXPECT_EQ(Schema::results().explain(run), "");
  const auto loaded = load_records({save_record(run, scratch.path)});
  ASSERT_EQ(loaded.size(), 3u);
  for (const size_t i : {0, 1, 2}) EXPECT_EQ(loaded[i], evals[i]);
  run["variants"][1]["schema"] = "other/1";
  save_record(run, scratch.path);
  EXPECT_THROW(load_records({scratch.path}), Error);
}

TEST(Record, RefusesWhatIsNoRecordAndSaysWhere) {
  Scratch scratch;
  const auto load = [&](const Json& json) {
    write_file(scratch / "x.json", json.dump());
    return message_of([&] { load_records({scratch / "x.json"}); });
  };
  Json good = SampleRecords::all()[0];
  EXPECT_EQ(load(good), "");
  EXPECT_NE(load(Json::array()).find("not an object"), std::string::npos);
  EXPECT_NE(load({{"hidden_size", 4}}).find("\"schema\" is missing"), std::string::npos);
  Json later = good;
  later["schema"] = "teeny.result/2";
  EXPECT_NE(load(later).find("teeny.result/2"), std::string::npos);
  Json bad = good;
  bad["bench"]["cases"][1]["median"] = "fast";
  const std::string text = load(bad);
  EXPECT_NE(text.find("x.json"), std::string::npos);
  EXPECT_NE(text.find("bench.cases[1].median"), std::string::npos) << text;
  bad = good;
  bad["machine"].erase("cores");
  EXPECT_NE(load(bad).find("\"machine.cores\" is missing"), std::string::npos);
  bad = good;
  bad["model"]["bytes"] = -5;
  EXPECT_NE(load(bad).find("model.bytes"), std::string::npos);
  bad = good;
  bad["eval"] = {{"tasks", Json::array({Json{{"name", "ppl"}, {"metric", "m"}, {"ci95", {1}}}})}};
  EXPECT_NE(load(bad).find("ci95"), std::string::npos);
  EXPECT_NE(message_of([&] { load_records({scratch / "absent.json"}); }).find("absent.json"), std::string::npos);
  fs::create_directories(scratch / "empty");
  EXPECT_NE(message_of([&] { load_records({scratch / "empty"}); }).find("no .json"), std::string::npos);
  std::ofstream(scratch / "cut.json") << "{\"schema\": \"teeny";
  EXPECT_NE(message_of([&] { load_records({scratch / "cut.json"}); }).find("not valid JSON"), std::string::npos);
}

// Every field of the sample records, replaced by every kind of wrong value: load either accepts or throws Input, never else.
TEST(Record, EveryMutationIsAcceptedOrRefusedCleanly) {
  const Json wrong = {nullptr, -1, "text", 1.5, true, Json::array({1}), Json::object({{"a", 1}})};
  for (const Json& sample : {SampleRecords::all()[0], SampleRecords::all()[3], SampleRecords::all()[4]}) {
    const Json flat = sample.flatten();
    size_t at = 0;
    for (const auto& [pointer, unused] : flat.items()) {
      if (++at % 7 != 1 && at > 300) continue;
      for (const Json& value : wrong) {
        Json changed = sample;
        changed[Json::json_pointer(pointer)] = value;
        try {
          check_record(changed, "mutated");
        } catch (const Error& e) {
          EXPECT_EQ(e.kind(), ErrorKind::Input) << pointer;
        }
      }
    }
  }
}

TEST(RecordSchema, SampleRecordsAreValid) {
  const Schema schema = Schema::results();
  for (const Json& record : SampleRecords::all()) EXPECT_EQ(schema.explain(record), "") << record["id"];
}

TEST(RecordSchema, IsStrict) {
  const Schema schema = Schema::results();
  const Json good = SampleRecords::all()[0];  // the original's bench record
  ASSERT_EQ(good["command"], "bench");
  const auto broken = [&](const char* pointer, const Json& value) {
    Json record = good;
    record[Json::json_pointer(pointer)] = value;
    return schema.explain(record);
  };
  EXPECT_NE(broken("/surprise", 1), "");
  EXPECT_NE(broken("/model/surprise", 1), "");
  EXPECT_NE(broken("/bench/cases/0/kind", "guessed"), "");
  EXPECT_NE(broken("/bench/cases/0/median", "fast"), "");
  EXPECT_NE(broken("/bench/energy/joules", -3), "");
  EXPECT_NE(broken("/command", "eval"), "");
  EXPECT_NE(broken("/command", "dance"), "");
  EXPECT_NE(broken("/started", "yesterday"), "");
  EXPECT_NE(broken("/status", "maybe"), "");
  Json lacking = good;
  lacking.erase("seed");
  EXPECT_NE(schema.explain(lacking).find("lacks \"seed\""), std::string::npos);
}

}  // namespace
}  // namespace teeny
